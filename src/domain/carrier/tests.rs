//! The rule: what it promises, tried on quotes nobody thought of.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::domain::Text;

const TODAY: Date = date(2026, 11, 21);

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("known")
}

fn quote(carrier: &str, price: i64, days: Option<i8>) -> Quote {
    Quote {
        source: SourceId::parse("table").expect("a name"),
        carrier: CarrierName::parse(carrier).expect("a name"),
        service: ServiceName::parse("standard").expect("a name"),
        price: Money::new(price, currency("EUR")).expect("in range"),
        delivers: days.map(|days| TODAY.saturating_add(i64::from(days).days())),
        is_guaranteed: false,
        collects: false,
        reference: Text::default(),
    }
}

fn known(ppm: u64) -> Evidence {
    Evidence { reliability: Reliability::from_ppm(ppm), usual_days: None }
}

fn wish(policy: Policy) -> Wish {
    Wish {
        currency: currency("EUR"),
        asked_on: TODAY,
        promised: Some(TODAY.saturating_add(3.days())),
        services: Vec::new(),
        collects: false,
        guaranteed_only: false,
        policy,
        when_late: WhenLate::Fastest,
    }
}

fn names(choice: &Choice) -> Vec<&str> {
    choice.candidates[..choice.ranked].iter().map(|candidate| candidate.quote.carrier.as_str()).collect()
}

#[test]
fn each_policy_has_its_order() {
    let quotes = || {
        vec![
            (quote("cheap", 500, Some(3)), known(500_000)),
            (quote("sure", 800, Some(2)), known(980_000)),
            (quote("fast", 1_500, Some(1)), known(990_000)),
            (quote("late", 100, Some(4)), known(990_000)),
        ]
    };
    let check = |policy, expected: [&str; 3]| {
        let choice = choose(quotes(), &wish(policy)).expect("a choice");
        assert_eq!(names(&choice), expected, "{policy:?}");
        assert!(!choice.misses_promise);
        assert_eq!(choice.candidates[3].verdict.as_str(), "late");
    };
    check(Policy::CostOverReliability, ["sure", "cheap", "fast"]);
    check(Policy::Cheapest, ["cheap", "sure", "fast"]);
    check(Policy::Fastest, ["fast", "sure", "cheap"]);
    check(Policy::LatenessPenalty { penalty_minor: 0 }, ["cheap", "sure", "fast"]);
    check(Policy::LatenessPenalty { penalty_minor: 1_000 }, ["sure", "cheap", "fast"]);
    check(Policy::LatenessPenalty { penalty_minor: 100_000 }, ["fast", "sure", "cheap"]);
}

#[test]
fn ties_go_by_days_then_by_name() {
    let tied = vec![
        (quote("c", 500, Some(2)), known(900_000)),
        (quote("d", 500, None), known(900_000)),
        (quote("b", 500, Some(2)), known(900_000)),
        (quote("z", 500, Some(1)), known(900_000)),
    ];
    let choice =
        choose(tied, &Wish { promised: None, ..wish(Policy::CostOverReliability) }).expect("a choice");
    assert_eq!(names(&choice), ["z", "b", "c", "d"]);
    let grounds: Vec<_> = choice.candidates.iter().map(|candidate| candidate.verdict.clone()).collect();
    let [days, name] = [Ground::Days, Ground::Name];
    assert_eq!(grounds[..2], [Verdict::Chosen(days), Verdict::Behind(days)]);
    let alike = vec![(quote("b", 1, Some(1)), known(1)), (quote("a", 1, Some(1)), known(1))];
    let choice = choose(alike, &wish(Policy::Cheapest)).expect("a choice");
    assert_eq!(choice.candidates[1].verdict, Verdict::Behind(name));
}

#[test]
fn what_may_not_be_chosen_is_dropped_with_its_reason() {
    let foreign =
        Quote { price: Money::new(1, currency("USD")).expect("in range"), ..quote("dollar", 1, Some(1)) };
    let guaranteed = Quote { is_guaranteed: true, collects: true, ..quote("good", 900, Some(1)) };
    let unsure = Quote { collects: true, ..quote("unsure", 1, Some(1)) };
    let free = Quote { is_guaranteed: true, ..quote("free", 1, Some(1)) };
    let other = Quote { is_guaranteed: true, collects: true, ..quote("other", 1, Some(1)) };
    let strict = Wish {
        services: ["good", "unsure", "free", "dollar"]
            .map(|name| AllowedService { carrier: CarrierName::parse(name).expect("a name"), service: None })
            .to_vec(),
        collects: true,
        guaranteed_only: true,
        ..wish(Policy::Cheapest)
    };
    let quotes = [foreign, guaranteed, unsure, free, other].map(|quote| (quote, known(900_000)));
    let choice = choose(quotes.to_vec(), &strict).expect("a choice");
    let verdicts = choice.candidates.iter();
    let verdicts: Vec<_> = verdicts
        .map(|one| (one.quote.carrier.as_str(), one.verdict.as_str(), one.reason(strict.policy)))
        .collect();
    let expected = [
        ("good", "chosen", "the only one that fits"),
        ("dollar", "other_currency", "its price is 0.01 USD, wanted are prices in EUR"),
        ("free", "collects_nothing", "collects no money at the door"),
        ("other", "service_not_allowed", "not among the services allowed"),
        ("unsure", "not_guaranteed", "vouches for no date"),
    ];
    let told: Vec<_> = verdicts.iter().map(|(name, word, reason)| (*name, *word, reason.as_str())).collect();
    assert_eq!(told.first(), expected.first());
    for row in expected {
        assert!(told.contains(&row), "{row:?} is not in {told:?}");
    }
}

#[test]
fn one_service_of_a_carrier_may_be_allowed() {
    let express = ServiceName::parse("express").expect("a name");
    let allowed = |service| AllowedService { carrier: CarrierName::parse("a").expect("a name"), service };
    let quotes = vec![
        (quote("a", 1, Some(1)), known(1)),
        (Quote { service: express.clone(), ..quote("a", 2, Some(1)) }, known(1)),
        (Quote { service: express.clone(), ..quote("b", 1, Some(1)) }, known(1)),
    ];
    let only = Wish { services: vec![allowed(Some(express))], ..wish(Policy::Cheapest) };
    let choice = choose(quotes.clone(), &only).expect("a choice");
    assert_eq!((choice.ranked, choice.candidates[0].quote.price.minor()), (1, 2));
    let each = Wish { services: vec![allowed(None)], ..wish(Policy::Cheapest) };
    assert_eq!(names(&choose(quotes, &each).expect("a choice")), ["a", "a"]);
}

#[test]
fn without_one_in_time_the_fastest_is_taken_or_none() {
    let late = vec![
        (quote("slow", 1, Some(9)), known(990_000)),
        (quote("unknown", 1, None), known(990_000)),
        (quote("less_slow", 900, Some(4)), known(500_000)),
    ];
    let choice = choose(late.clone(), &wish(Policy::Cheapest)).expect("a choice");
    assert!(choice.misses_promise);
    assert_eq!(names(&choice), ["less_slow", "slow", "unknown"]);
    assert_eq!(choice.candidates[0].verdict, Verdict::Chosen(Ground::Days));
    let strict = Wish { when_late: WhenLate::Refuse, ..wish(Policy::Cheapest) };
    let none = choose(late, &strict).expect_err("none in time");
    assert!(none.some_are_late && none.candidates.len() == 3);
    assert_eq!(choose(Vec::new(), &strict), Err(NoChoice { candidates: Vec::new(), some_are_late: false }));
}

#[test]
fn a_quote_without_date_arrives_as_is_usual() {
    let usual = |days| Evidence { usual_days: Some(days), ..known(900_000) };
    let quotes = vec![(quote("in_time", 9, None), usual(3)), (quote("late", 1, None), usual(4))];
    let choice = choose(quotes, &wish(Policy::Cheapest)).expect("a choice");
    assert_eq!(names(&choice), ["in_time"]);
    assert_eq!(choice.candidates[0].arrives, Some(date(2026, 11, 24)));
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::CostOverReliability),
        Just(Policy::Cheapest),
        Just(Policy::Fastest),
        (0_i64..5_000).prop_map(|penalty_minor| Policy::LatenessPenalty { penalty_minor }),
    ]
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let promise =
        prop_oneof![Just(None), (0_i64..6).prop_map(|days| Some(TODAY.saturating_add(days.days())))];
    (any_policy(), promise, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(policy, promised, collects, guaranteed_only, refuse)| Wish {
            promised,
            collects,
            guaranteed_only,
            when_late: if refuse { WhenLate::Refuse } else { WhenLate::Fastest },
            ..wish(policy)
        },
    )
}

/// Few values of everything, so that ties are common.
fn any_quote() -> impl Strategy<Value = (Quote, Evidence)> {
    let price = prop_oneof![0_i64..5, 400_i64..420, Just(MINOR_MAX)];
    let days = prop_oneof![Just(None), (0_i8..7).prop_map(Some)];
    let ppm = prop_oneof![1_u64..3, 500_000_u64..500_004, 900_000_u64..=1_000_000];
    let usual = prop_oneof![Just(None), (0_u16..7).prop_map(Some)];
    let code = prop_oneof![9 => Just("EUR"), 1 => Just("USD")];
    let flags = (prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    ("[a-d]", "[st]", price, days, ppm, usual, code, flags).prop_map(
        |(carrier, service, price, days, ppm, usual_days, code, (is_guaranteed, collects))| {
            let quote = Quote {
                service: ServiceName::parse(&service).expect("a name"),
                price: Money::new(price, currency(code)).expect("in range"),
                is_guaranteed,
                collects,
                ..quote(&carrier, 0, days)
            };
            (quote, Evidence { usual_days, ..known(ppm) })
        },
    )
}

fn any_quotes() -> impl Strategy<Value = Vec<(Quote, Evidence)>> {
    prop::collection::vec(any_quote(), 0..8)
}

/// Where a quote stands in a choice; the chosen one is 0. None: it is not in the running.
fn place(outcome: &Result<Choice, NoChoice>, wanted: &(Quote, Evidence)) -> Option<usize> {
    let choice = outcome.as_ref().ok()?;
    let is_it = |one: &Candidate| one.quote == wanted.0 && one.evidence == wanted.1;
    choice.candidates[..choice.ranked].iter().position(is_it)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_order_of_the_quotes_does_not_matter(
        (quotes, shuffled) in any_quotes().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        wish in any_wish(),
    ) {
        prop_assert_eq!(choose(quotes, &wish), choose(shuffled, &wish));
    }

    #[test]
    fn a_worse_quote_never_changes_the_choice(
        quotes in any_quotes(), wish in any_wish(),
        dearer in 0_i64..50, later in 0_i64..4, less_sure in 0_u64..100_000,
        flags in any::<(bool, bool)>(),
    ) {
        let before = choose(quotes.clone(), &wish);
        let Ok(choice) = &before else { return Ok(()) };
        let Candidate { quote, evidence, .. } = choice.candidates[0].clone();
        let worse = Quote {
            carrier: CarrierName::parse("zzz").expect("a name"),
            price: Money::new((quote.price.minor() + dearer).min(MINOR_MAX), quote.price.currency()).expect("in range"),
            delivers: choice.candidates[0].arrives.map(|date| date.saturating_add(later.days())),
            is_guaranteed: quote.is_guaranteed && flags.0,
            collects: quote.collects && flags.1,
            ..quote.clone()
        };
        let worse_known = Evidence {
            reliability: Reliability::from_ppm(u64::from(evidence.reliability.ppm()).saturating_sub(less_sure)),
            ..evidence
        };
        let mut more = quotes;
        more.push((worse, worse_known));
        let after = choose(more, &wish).expect("a worse quote takes no choice away");
        prop_assert_eq!(&after.candidates[0].quote, &quote);
    }

    #[test]
    fn a_lower_price_or_a_higher_reliability_never_loses_rank(
        quotes in prop::collection::vec(any_quote(), 1..8), wish in any_wish(), which in any::<prop::sample::Index>(),
        cheaper in 0_i64..50, surer in 0_u64..100_000,
    ) {
        let index = which.index(quotes.len());
        let before = place(&choose(quotes.clone(), &wish), &quotes[index]);
        let mut better = quotes;
        let (quote, evidence) = &mut better[index];
        quote.price = Money::new((quote.price.minor() - cheaper).max(0), quote.price.currency()).expect("in range");
        evidence.reliability = Reliability::from_ppm(u64::from(evidence.reliability.ppm()) + surer);
        let after = place(&choose(better.clone(), &wish), &better[index]);
        if let Some(before) = before {
            prop_assert!(after.is_some_and(|after| after <= before), "{:?} before, {:?} after", before, after);
        }
    }

    #[test]
    fn the_chosen_one_fits_the_wish_or_says_that_it_is_late(quotes in any_quotes(), wish in any_wish()) {
        let Ok(choice) = choose(quotes.clone(), &wish) else { return Ok(()) };
        prop_assert_eq!(choice.candidates.len(), quotes.len());
        let chosen = &choice.candidates[0];
        prop_assert!(chosen.quote.price.currency() == wish.currency);
        prop_assert!(chosen.quote.collects || !wish.collects);
        prop_assert!(chosen.quote.is_guaranteed || !wish.guaranteed_only);
        let is_in_time = wish.promised.is_none_or(|promised| chosen.arrives.is_some_and(|arrives| arrives <= promised));
        prop_assert_eq!(is_in_time, !choice.misses_promise);
        prop_assert!(!choice.misses_promise || wish.when_late == WhenLate::Fastest);
    }
}
