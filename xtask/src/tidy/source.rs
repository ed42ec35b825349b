//! A source file, line by line, with what is test code and what is only a comment told apart.

/// One `.rs` file.
#[derive(Debug)]
pub struct Source {
    /// From the root of the workspace.
    pub path: String,
    /// The package it belongs to, without the project's prefix.
    pub package: String,
    pub lines: Vec<Line>,
}

#[derive(Debug)]
pub struct Line {
    pub text: String,
    /// Inside a `#[cfg(test)]` item, or in a file of tests.
    pub is_test: bool,
}

impl Line {
    /// The line without a comment.
    pub fn code(&self) -> &str {
        let mut from = 0;
        while let Some(found) = self.text[from..].find("//") {
            let position = from + found;
            let quotes = self.text[..position].matches('"').count();
            // An odd number of quotes before it: the slashes stand in a string.
            if quotes.is_multiple_of(2) {
                return &self.text[..position];
            }
            from = position + 2;
        }
        &self.text
    }
}

impl Source {
    pub fn new(path: &str, package: &str, text: &str) -> Self {
        let whole_file_is_test = is_test_path(path);
        let mut lines: Vec<Line> = text
            .lines()
            .map(|text| Line {
                text: text.to_owned(),
                is_test: whole_file_is_test,
            })
            .collect();
        mark_test_items(&mut lines);
        Self {
            path: path.to_owned(),
            package: package.to_owned(),
            lines,
        }
    }

    /// Lines with their number, counted from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines
            .iter()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    pub fn code_lines(&self) -> usize {
        self.lines.iter().filter(|line| !line.is_test).count()
    }
}

/// Files that hold nothing but tests: `tests.rs`, `*_tests.rs`, all below a folder `tests`, the
/// conformance suites of the ports, and the stories of the platform.
fn is_test_path(path: &str) -> bool {
    let in_folder = path
        .split('/')
        .any(|part| matches!(part, "tests" | "conformance" | "stories"));
    let endings = ["/tests.rs", "_tests.rs", "/conformance.rs"];
    in_folder || endings.iter().any(|ending| path.ends_with(ending))
}

/// Marks `#[cfg(test)]` items. Relies on rustfmt: an item ends where a line at its own indentation
/// closes it.
fn mark_test_items(lines: &mut [Line]) {
    let mut index = 0;
    while index < lines.len() {
        if lines[index].text.trim_start().starts_with("#[cfg(test)]") {
            let end = item_end(lines, index);
            for line in &mut lines[index..=end] {
                line.is_test = true;
            }
            index = end;
        }
        index += 1;
    }
}

fn item_end(lines: &[Line], start: usize) -> usize {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let depth = indent(&lines[start].text);
    for (offset, line) in lines[start + 1..].iter().enumerate() {
        let text = line.text.as_str();
        let at_depth = indent(text) == depth && !text.trim().is_empty();
        let is_attribute = text.trim_start().starts_with("#[");
        let closes = text.trim_end().ends_with(';') || text.trim_end().ends_with('}');
        if at_depth && closes && !is_attribute {
            return start + 1 + offset;
        }
    }
    lines.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source::new(path, "wire", text);
        let numbered = source.numbered();
        numbered
            .filter(|(_, line)| line.is_test)
            .map(|(number, _)| number)
            .collect()
    }

    #[test]
    fn test_items_are_cut_off_wherever_they_stand() {
        let text = "fn a() {}\n#[cfg(test)]\nuse x;\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {\n    }\n}\nfn d() {}\n";
        assert_eq!(
            test_lines("crates/wire/src/lib.rs", text),
            [2, 3, 5, 6, 7, 8, 9]
        );
    }

    #[test]
    fn files_of_tests_are_test_code() {
        assert_eq!(test_lines("crates/wire/tests/golden.rs", "a\nb"), [1, 2]);
        assert_eq!(test_lines("crates/wire/src/row/tests.rs", "a"), [1]);
        assert_eq!(
            test_lines("crates/store-topic/src/conformance.rs", "a"),
            [1]
        );
        assert_eq!(test_lines("integration-tests/src/stories/ttl.rs", "a"), [1]);
        assert!(test_lines("crates/testkit/src/lib.rs", "a").is_empty());
    }

    #[test]
    fn comments_are_not_code() {
        let code = |text: &str| Source::new("a.rs", "a", text).lines[0].code().to_owned();
        assert_eq!(code("let a = 1; // not todo!"), "let a = 1; ");
        assert_eq!(
            code("let url = \"file://x\"; // y"),
            "let url = \"file://x\"; "
        );
        assert_eq!(code("/// tokio::spawn"), "");
    }
}
