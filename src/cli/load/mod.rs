//! `stockgate load`: drives a running gateway at a set rate, measures it, and checks the books afterwards.
//!
//! Reading order: [`command`] (what can be asked), `plan` (which request call n is), `schedule` (when it is due), `run` (sends
//! it, in an open loop), `ledger` (what the answers say was sold), `books` (whether the gateway agrees), `report`, and what is
//! made of it: `text`, `page`.

mod books;
mod call;
mod chart;
pub(super) mod command;
mod conduct;
mod consent;
mod figures;
mod interrupt;
mod ledger;
mod metronome;
mod page;
mod plan;
mod progress;
mod quantiles;
mod ramp;
mod report;
mod resolve;
mod run;
mod schedule;
mod shelves;
mod spike;
mod tally;
mod text;
