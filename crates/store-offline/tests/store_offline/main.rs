//! Delta tables in a folder and in a bucket: the guarantees of the port, and what they owe beyond it. One
//! program, because each links all of DataFusion and Delta.

mod conformance;
mod delta;
mod s3;
