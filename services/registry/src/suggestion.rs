//! What to say to someone who asked for a name that is not there.

use twinfold_model::ProjectName;

use crate::Error;

const NEAR_MAX: usize = 3;

/// The error for a name, or a version of it, that is not among the `known` ones of the project.
pub fn not_found<'a>(
    what: &'static str,
    project: &ProjectName,
    name: &str,
    version: Option<u32>,
    known: impl Iterator<Item = (&'a str, u32)> + Clone,
) -> Error {
    let of_name = known.clone().filter(|(other, _)| *other == name);
    let of_name: Vec<u32> = of_name.map(|(_, version)| version).collect();
    let hint = if of_name.is_empty() {
        let known = known.map(|(other, _)| other.to_owned());
        names(name, known, &format!("project `{project}`"))
    } else {
        versions(&of_name)
    };
    Error::NotFound {
        what,
        name: full_name(project, name, version),
        hint,
    }
}

/// `default.weather_1`, or `default.weather` when no version was asked for.
fn full_name(project: &ProjectName, name: &str, version: Option<u32>) -> String {
    match version {
        Some(version) => format!("{project}.{name}_{version}"),
        None => format!("{project}.{name}"),
    }
}

/// A hint for an unknown `name` among `known` ones, beginning with "; ".
pub fn names(name: &str, known: impl IntoIterator<Item = String>, owner: &str) -> String {
    let mut known: Vec<(usize, String)> = known
        .into_iter()
        .map(|other| (distance(name, &other), other))
        .collect();
    known.sort();
    known.dedup();
    let quoted = |names: &[(usize, String)]| {
        let quoted: Vec<String> = names.iter().map(|(_, name)| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let near_end = known.partition_point(|(distance, _)| *distance <= tolerance(name));
    match (known.len(), near_end.min(NEAR_MAX)) {
        (0, _) => format!("; {owner} has none"),
        (count, 0) if count <= NEAR_MAX => format!("; {owner} has {}", quoted(&known)),
        (count, 0) => format!(
            "; {owner} has {count}, such as {}",
            quoted(&known[..NEAR_MAX])
        ),
        (_, near) => format!("; did you mean {}?", quoted(&known[..near])),
    }
}

/// A hint for an unknown version of a name that has others.
fn versions(known: &[u32]) -> String {
    let mut known = known.to_vec();
    known.sort_unstable();
    let text: Vec<String> = known.iter().map(u32::to_string).collect();
    match text.as_slice() {
        [only] => format!("; there is version {only}"),
        _ => format!("; there are versions {}", text.join(", ")),
    }
}

fn tolerance(name: &str) -> usize {
    (name.len() / 3).max(1)
}

/// Levenshtein's: single letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(name: &str, known: &[&str]) -> String {
        names(name, known.iter().map(ToString::to_string), "project `p`")
    }

    #[test]
    fn distances() {
        for (left, right, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("weather", "wether", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), wanted, "{left} {right}");
            assert_eq!(distance(right, left), wanted, "{right} {left}");
        }
    }

    #[test]
    fn near_names_come_first() {
        let hint_near = hint("wether", &["trips", "weather", "feather"]);
        assert_eq!(hint_near, "; did you mean `weather`, `feather`?");
        assert_eq!(hint("x", &[]), "; project `p` has none");
        assert_eq!(hint("orders", &["trips"]), "; project `p` has `trips`");
        let many = hint("zzzzzz", &["aa", "bbb", "cccc", "ddddd"]);
        assert!(many.starts_with("; project `p` has 4, such as `"), "{many}");
    }

    #[test]
    fn versions_are_listed_in_order() {
        assert_eq!(versions(&[1]), "; there is version 1");
        assert_eq!(versions(&[3, 1]), "; there are versions 1, 3");
    }
}
