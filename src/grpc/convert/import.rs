//! Results of an import: a bad row is a result, never the end of the others.

use tonic::Code;

use crate::{domain::Answer, proto};

use super::{
    durability::achieved,
    problem::Problem,
    replies::{applied, only_line},
};

/// Shows what became of one row; `sku` as given.
pub fn import_result(sku: String, outcome: Result<Answer, Problem>) -> proto::ImportStockResult {
    let durability = outcome.as_ref().ok().map(|answer| achieved(answer.durability));
    match outcome.and_then(applied) {
        Ok((applied, replayed)) => proto::ImportStockResult {
            sku,
            code: Code::Ok.into(),
            message: String::new(),
            reason: String::new(),
            line: only_line(applied),
            replayed,
            durability,
        },
        Err(problem) => proto::ImportStockResult {
            sku,
            code: problem.code.into(),
            replayed: problem.replayed,
            message: problem.message,
            reason: problem.reason.to_owned(),
            line: None,
            durability: None,
        },
    }
}
