//! Random histories: the operators against definitions that look at every record for every row.

use std::sync::Arc;

use futures::executor::block_on;
use proptest::prelude::*;
use twinfold_model::{FeatureGroup, FeatureType, JoinKind, Ttl, Value};

use super::fixtures::*;
use crate::dataset::digest_rows;
use crate::{Options, Source};

const TIMES: std::ops::Range<i64> = 0..12;

/// Label: its key, event time, and the keys of others, which may be null.
fn labels_group() -> Arc<FeatureGroup> {
    group(
        "labels",
        &[
            ("id", FeatureType::Int),
            ("at", FeatureType::Timestamp),
            ("shop", FeatureType::String),
            ("item", FeatureType::BigInt),
            ("label", FeatureType::Double),
        ],
        &["id"],
        Some("at"),
        None,
    )
}

fn prices_group(ttl_us: Option<i64>) -> Arc<FeatureGroup> {
    group(
        "prices",
        &[
            ("price", FeatureType::Double),
            ("shop_name", FeatureType::String),
            ("item", FeatureType::BigInt),
            ("at", FeatureType::Timestamp),
            ("tags", FeatureType::Array(Box::new(FeatureType::String))),
        ],
        &["item", "shop_name"],
        Some("at"),
        ttl_us,
    )
}

fn shops_group() -> Arc<FeatureGroup> {
    group(
        "shops",
        &[("shop", FeatureType::String), ("city", FeatureType::String)],
        &["shop"],
        None,
        // Groups without event time are read as of the commit; their age does not count.
        Some(1),
    )
}

fn shop_names() -> impl Strategy<Value = Value> {
    prop_oneof![Just(text("")), Just(text("a")), Just(text("b"))]
}

fn or_null(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 5 => values]
}

fn items() -> impl Strategy<Value = Value> {
    (0_i64..3).prop_map(Value::BigInt)
}

fn label_records() -> impl Strategy<Value = Vec<Record>> {
    let record = (
        0_i32..6,
        TIMES,
        or_null(shop_names()),
        or_null(items()),
        0_i32..100,
        prop::bool::weighted(0.15),
    );
    let record = record.prop_map(|(id, at, shop, item, label, deleted)| {
        let values = match deleted {
            true => vec![
                Value::Int(id),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
            ],
            false => vec![
                Value::Int(id),
                Value::Timestamp(at),
                shop,
                item,
                Value::Double(label.into()),
            ],
        };
        (at, deleted, values)
    });
    numbered(record, 40)
}

fn price_records() -> impl Strategy<Value = Vec<Record>> {
    let tags = prop::collection::vec(or_null(shop_names()), 0..3).prop_map(Value::Array);
    let record = (
        shop_names(),
        items(),
        TIMES,
        or_null((0_i32..100).prop_map(|price| Value::Double(price.into()))),
        or_null(tags),
        prop::bool::weighted(0.2),
    );
    let record = record.prop_map(|(shop, item, at, price, tags, deleted)| {
        let values = match deleted {
            true => vec![Value::Null, shop, item, Value::Null, Value::Null],
            false => vec![price, shop, item, Value::Timestamp(at), tags],
        };
        (at, deleted, values)
    });
    numbered(record, 120)
}

fn shop_records() -> impl Strategy<Value = Vec<Record>> {
    let record = (
        shop_names(),
        or_null(shop_names()),
        TIMES,
        prop::bool::weighted(0.2),
    );
    let record = record.prop_map(|(shop, city, at, deleted)| {
        let city = if deleted { Value::Null } else { city };
        (at, deleted, vec![shop, city])
    });
    numbered(record, 12)
}

/// Gives offsets without repetition, in no order.
fn numbered(
    record: impl Strategy<Value = (i64, bool, Vec<Value>)>,
    most: usize,
) -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(record, 0..most).prop_flat_map(|records| {
        let offsets: Vec<i64> = (0..records.len() as i64).collect();
        Just(offsets).prop_shuffle().prop_map(move |offsets| {
            let number =
                |(offset, (event_time, deleted, values)): (i64, &(i64, bool, Vec<Value>))| Record {
                    values: values.clone(),
                    event_time: *event_time,
                    offset,
                    schema: 1,
                    deleted: *deleted,
                };
            offsets.into_iter().zip(&records).map(number).collect()
        })
    })
}

fn key_of(group: &FeatureGroup, record: &Record) -> Vec<Value> {
    let part = |index: &usize| record.values[*index].clone();
    group.primary_key().iter().map(part).collect()
}

/// The definition of the point-in-time row.
fn row_at<'a>(
    group: &FeatureGroup,
    records: &'a [Record],
    key: &[Value],
    time: Option<i64>,
) -> Option<&'a Record> {
    if key.iter().any(Value::is_null) {
        return None;
    }
    let newest = records
        .iter()
        .filter(|record| key_of(group, record) == key)
        .filter(|record| time.is_none_or(|time| record.event_time <= time))
        .max_by_key(|record| (record.event_time, record.deleted, record.offset))?;
    let expired = match (time, group.ttl()) {
        (Some(time), Some(ttl)) => time - newest.event_time > Ttl::micros(ttl),
        _ => false,
    };
    (!newest.deleted && !expired).then_some(newest)
}

/// The definition of a left group's rows: the last of each (key, event time) that no delete hides.
fn live_rows(group: &FeatureGroup, records: &[Record]) -> Vec<Record> {
    let same_key = |a: &Record, b: &Record| key_of(group, a) == key_of(group, b);
    let mut live: Vec<Record> = records
        .iter()
        .filter(|row| !row.deleted)
        .filter(|row| {
            !records.iter().any(|other| {
                same_key(row, other)
                    && ((other.deleted && other.event_time >= row.event_time)
                        || (!other.deleted
                            && other.event_time == row.event_time
                            && other.offset > row.offset))
            })
        })
        .cloned()
        .collect();
    live.sort_by_key(|row| match row.values[0] {
        Value::Int(id) => (row.event_time, id),
        _ => unreachable!("labels begin with their id"),
    });
    live
}

fn picked(record: Option<&Record>, features: &[usize]) -> Vec<Value> {
    let value = |index: &usize| record.map_or(Value::Null, |record| record.values[*index].clone());
    features.iter().map(value).collect()
}

#[derive(Debug, Clone)]
struct Case {
    labels: Vec<Record>,
    prices: Vec<Record>,
    shops: Vec<Record>,
    ttl_us: Option<i64>,
    inner: [bool; 3],
}

fn cases() -> impl Strategy<Value = Case> {
    (
        label_records(),
        price_records(),
        shop_records(),
        prop::option::of(1_i64..8),
        any::<[bool; 3]>(),
    )
        .prop_map(|(labels, prices, shops, ttl_us, inner)| Case {
            labels,
            prices,
            shops,
            ttl_us,
            inner,
        })
}

#[derive(Debug, Clone, Copy)]
struct Layout {
    partitions: usize,
    stored_batch_rows: usize,
    threads: usize,
    batch_rows: usize,
}

fn layouts() -> impl Strategy<Value = Layout> {
    (1_usize..4, 1_usize..30, 1_usize..4, 1_usize..20).prop_map(
        |(partitions, stored_batch_rows, threads, batch_rows)| Layout {
            partitions,
            stored_batch_rows,
            threads,
            batch_rows,
        },
    )
}

impl Layout {
    fn options(&self) -> Options {
        Options {
            threads: self.threads,
            batch_rows: self.batch_rows,
            ..Options::default()
        }
    }

    fn source(&self, group: &Arc<FeatureGroup>, records: &[Record]) -> Source {
        source(group, records, self.partitions, self.stored_batch_rows)
    }
}

impl Case {
    fn kind(&self, join: usize) -> JoinKind {
        if self.inner[join] {
            JoinKind::Inner
        } else {
            JoinKind::Left
        }
    }

    fn query(&self) -> twinfold_model::Query {
        let prices = prices_group(self.ttl_us);
        let on = [("item", "item"), ("shop", "shop_name")];
        query(
            select(&labels_group(), &["label", "at", "id"]),
            vec![
                join(
                    select(&prices, &["price", "at"]),
                    &on,
                    self.kind(0),
                    "price_",
                ),
                join(select(&prices, &["tags"]), &on, self.kind(1), "second_"),
                join(select(&shops_group(), &["city"]), &[], self.kind(2), ""),
            ],
        )
    }

    fn sources(&self, layout: &Layout) -> Vec<Source> {
        let prices = layout.source(&prices_group(self.ttl_us), &self.prices);
        vec![
            layout.source(&labels_group(), &self.labels),
            prices.clone(),
            prices,
            layout.source(&shops_group(), &self.shops),
        ]
    }

    fn expected(&self) -> Vec<Vec<Value>> {
        let prices = prices_group(self.ttl_us);
        let mut expected = Vec::new();
        for row in live_rows(&labels_group(), &self.labels) {
            let (shop, item) = (row.values[2].clone(), row.values[3].clone());
            let time = Some(row.event_time);
            let price = row_at(&prices, &self.prices, &[item, shop.clone()], time);
            let city = row_at(&shops_group(), &self.shops, &[shop], None);
            let matches = [price.is_some(), price.is_some(), city.is_some()];
            if (0..3).any(|join| self.inner[join] && !matches[join]) {
                continue;
            }
            let mut values = picked(Some(&row), &[4, 1, 0]);
            values.extend(picked(price, &[0, 3, 4]));
            values.extend(picked(city, &[1]));
            expected.push(values);
        }
        expected
    }
}

fn output_types() -> Vec<FeatureType> {
    vec![
        FeatureType::Double,
        FeatureType::Timestamp,
        FeatureType::Int,
        FeatureType::Double,
        FeatureType::Timestamp,
        FeatureType::Array(Box::new(FeatureType::String)),
        FeatureType::String,
    ]
}

/// Waits on a runtime of its own: the operators spawn tasks.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("threads");
    let _entered = runtime.enter();
    block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn joins_answer_as_defined(case in cases(), layout in layouts()) {
        let result = wait(async {
            let sources = case.sources(&layout);
            collected(run(&case.query(), &sources, &layout.options()).await.expect("valid")).await
        });
        let expected = columns_of(&case.expected(), &output_types());
        prop_assert_eq!(result.columns(), expected.as_slice());
    }

    #[test]
    fn the_digest_depends_on_nothing_but_the_content(
        case in cases(), first in layouts(), second in layouts(),
    ) {
        let digest = |layout: Layout, case: Case| wait(async move {
            let sources = case.sources(&layout);
            let rows = run(&case.query(), &sources, &layout.options()).await.expect("valid");
            digest_rows(rows, &[], 0).await.expect("digest").combined()
        });
        let of_first = digest(first, case.clone());
        prop_assert_eq!(&of_first, &digest(second, case.clone()));
        let mut changed = case.clone();
        if let Some(row) = live_rows(&labels_group(), &case.labels).first() {
            for record in &mut changed.labels {
                if record.offset == row.offset {
                    record.values[4] = Value::Double(-1.0);
                }
            }
            let differs = changed.expected() != case.expected();
            prop_assert_eq!(of_first != digest(first, changed), differs);
        }
    }

    /// A dataframe in any order keeps it, whatever becomes of its rows.
    #[test]
    fn a_dataframe_is_answered_in_its_order(
        rows in prop::collection::vec(
            (or_null(shop_names()), or_null(items()), or_null(TIMES.prop_map(Value::Timestamp))),
            1..40,
        ),
        case in cases(),
        layout in layouts(),
    ) {
        let prices = prices_group(case.ttl_us);
        let spine: Vec<Vec<Value>> = rows
            .iter()
            .map(|(shop, item, at)| vec![shop.clone(), item.clone(), at.clone()])
            .collect();
        let types = [FeatureType::String, FeatureType::BigInt, FeatureType::Timestamp];
        let names = ["shop_name", "item", "asked_at"];
        let columns = names.into_iter().zip(columns_of(&spine, &types));
        let dataframe = arrow::record_batch::RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, column)| (name, column, true)),
        ).expect("valid");
        let result = wait(async {
            let sources = vec![layout.source(&prices, &case.prices)];
            let query = query(select(&prices, &["price", "tags"]), vec![]);
            let options = layout.options();
            let rows = run_dataframe(&query, &sources, vec![dataframe], Some("asked_at"), &options);
            collected(rows.await.expect("valid")).await
        });
        let expected: Vec<Vec<Value>> = spine.into_iter().map(|row| {
            let found = match &row[2] {
                Value::Timestamp(at) => {
                    let key = [row[1].clone(), row[0].clone()];
                    row_at(&prices, &case.prices, &key, Some(*at))
                }
                _ => None,
            };
            [row, picked(found, &[0, 4])].concat()
        }).collect();
        let types = [types.to_vec(), vec![
            FeatureType::Double,
            FeatureType::Array(Box::new(FeatureType::String)),
        ]].concat();
        let expected = columns_of(&expected, &types);
        prop_assert_eq!(result.columns(), expected.as_slice());
    }
}
