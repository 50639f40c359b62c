//! Symbolic counts, and single cases of the tallies written out by hand.

use ringhold_core::id::NodeId;
use ringhold_core::quorum::{
    Count, FailureKind, GetCounts, GetOutcome, GetQuorum, GetReply, GetSpec, GetTally, PutCounts,
    PutOutcome, PutQuorum, PutReply, PutSpec, PutTally, QuorumViolation, ReplicaKind, Requirement,
    Shortfall, Status, Target,
};

use GetOutcome::{Deleted, Failed, Found, NotFound, Unknown};
use ReplicaKind::{Fallback, Primary};

fn node(name: char) -> NodeId {
    NodeId(u128::from(u32::from(name)))
}

/// Upper-case names are primaries, lower-case ones fallbacks.
fn target(name: char) -> Target {
    let kind = if name.is_ascii_uppercase() {
        Primary
    } else {
        Fallback
    };
    Target {
        node: node(name),
        kind,
    }
}

fn get_reply(name: char, outcome: GetOutcome) -> GetReply {
    let Target { node, kind } = target(name);
    GetReply {
        node,
        kind,
        outcome,
    }
}

fn put_reply(name: char, outcome: PutOutcome) -> PutReply {
    let Target { node, kind } = target(name);
    PutReply {
        node,
        kind,
        outcome,
    }
}

fn impossible(requirement: Requirement, required: u32, obtained: u32) -> Status {
    Status::Impossible(Shortfall {
        requirement,
        required,
        obtained,
    })
}

#[test]
fn counts_are_read_from_words_digits_and_the_wire() {
    let rows = [
        ("one", Some(Count::One), 4_294_967_294),
        ("quorum", Some(Count::Quorum), 4_294_967_293),
        ("all", Some(Count::All), 4_294_967_292),
        ("default", Some(Count::Default), 4_294_967_291),
        ("0", Some(Count::Exact(0)), 0),
        ("3", Some(Count::Exact(3)), 3),
        (
            "4294967290",
            Some(Count::Exact(4_294_967_290)),
            4_294_967_290,
        ),
        ("4294967296", None, 0),
        ("", None, 0),
        ("+1", None, 0),
        ("-1", None, 0),
        (" 1", None, 0),
        ("Quorum", None, 0),
        ("some", None, 0),
    ];
    for (text, count, wire) in rows {
        assert_eq!(text.parse().ok(), count, "{text:?}");
        if let Some(count) = count {
            assert_eq!(count.to_string(), text);
            assert_eq!(count.to_wire(), wire, "{text}");
            assert_eq!(Count::from_wire(wire), count, "{text}");
        }
    }
    assert_eq!(Count::from_wire(u32::MAX), Count::Exact(u32::MAX));
}

#[test]
fn symbolic_counts_follow_n() {
    // (count, bucket) -> r for N = 1..=5; `None` is a violation.
    let rows: [(&str, &str, [Option<u32>; 5]); 10] = [
        ("one", "all", [Some(1), Some(1), Some(1), Some(1), Some(1)]),
        (
            "quorum",
            "all",
            [Some(1), Some(2), Some(2), Some(3), Some(3)],
        ),
        ("all", "one", [Some(1), Some(2), Some(3), Some(4), Some(5)]),
        (
            "default",
            "one",
            [Some(1), Some(1), Some(1), Some(1), Some(1)],
        ),
        (
            "default",
            "quorum",
            [Some(1), Some(2), Some(2), Some(3), Some(3)],
        ),
        (
            "default",
            "all",
            [Some(1), Some(2), Some(3), Some(4), Some(5)],
        ),
        (
            "default",
            "default",
            [Some(1), Some(2), Some(2), Some(3), Some(3)],
        ),
        ("default", "3", [None, None, Some(3), Some(3), Some(3)]),
        ("2", "3", [None, Some(2), Some(2), Some(2), Some(2)]),
        ("0", "3", [Some(0), Some(0), Some(0), Some(0), Some(0)]),
    ];
    for (asked, bucket, expected) in rows {
        let count = |text: &str| text.parse::<Count>().expect("a count");
        for (n, expected) in (1..=5).zip(expected) {
            let spec = |r| GetSpec {
                r,
                ..GetSpec::default()
            };
            let r = spec(count(asked)).resolve(n, &spec(count(bucket)));
            assert_eq!(
                r.ok().map(|quorum| quorum.r),
                expected,
                "{asked} over {bucket}, N={n}"
            );

            let spec = |w| PutSpec {
                w,
                ..PutSpec::default()
            };
            let w = spec(count(asked)).resolve(n, &spec(count(bucket)));
            assert_eq!(
                w.ok().map(|quorum| quorum.w),
                expected,
                "{asked} over {bucket}, N={n}"
            );
        }
    }
}

#[test]
fn what_nobody_asked_for_is_as_in_riak() {
    let get = GetSpec::default().resolve(3, &GetSpec::default());
    let expected = GetQuorum {
        n: 3,
        r: 2,
        pr: 0,
        node_confirms: 0,
        basic_quorum: false,
        notfound_ok: true,
    };
    assert_eq!(get, Ok(expected));
    let put = PutSpec::default().resolve(3, &PutSpec::default());
    assert_eq!(
        put,
        Ok(PutQuorum {
            n: 3,
            w: 2,
            dw: 2,
            pw: 0,
            node_confirms: 0
        })
    );

    let bucket = GetSpec {
        notfound_ok: Some(false),
        basic_quorum: Some(true),
        ..GetSpec::default()
    };
    let asked = GetSpec {
        notfound_ok: Some(true),
        ..GetSpec::default()
    };
    let flags = asked
        .resolve(3, &bucket)
        .map(|got| (got.notfound_ok, got.basic_quorum));
    assert_eq!(flags, Ok((true, true)));
}

#[test]
fn a_count_above_n_is_named() {
    let four = Count::Exact(4);
    let get = |spec: GetSpec| {
        spec.resolve(3, &GetSpec::default())
            .expect_err("a violation")
    };
    let put = |spec: PutSpec| {
        spec.resolve(3, &PutSpec::default())
            .expect_err("a violation")
    };
    let rows = [
        (
            Requirement::R,
            get(GetSpec {
                r: four,
                ..GetSpec::default()
            }),
        ),
        (
            Requirement::PR,
            get(GetSpec {
                pr: four,
                ..GetSpec::default()
            }),
        ),
        (
            Requirement::NodeConfirms,
            get(GetSpec {
                node_confirms: four,
                ..GetSpec::default()
            }),
        ),
        (
            Requirement::W,
            put(PutSpec {
                w: four,
                pw: four,
                ..PutSpec::default()
            }),
        ),
        (
            Requirement::DW,
            put(PutSpec {
                dw: four,
                ..PutSpec::default()
            }),
        ),
        (
            Requirement::PW,
            put(PutSpec {
                pw: four,
                ..PutSpec::default()
            }),
        ),
        (
            Requirement::NodeConfirms,
            put(PutSpec {
                node_confirms: four,
                ..PutSpec::default()
            }),
        ),
    ];
    for (requirement, violation) in rows {
        assert_eq!(
            violation,
            QuorumViolation {
                requirement,
                value: 4,
                n: 3
            }
        );
    }
    assert_eq!(rows[5].1.to_string(), "pw=4 is more than the 3 replicas");
    // A bucket's own count can be out of bounds for an N that the request chose.
    let bucket = PutSpec {
        w: Count::Exact(3),
        ..PutSpec::default()
    };
    let violation = PutSpec::default()
        .resolve(2, &bucket)
        .expect_err("a violation");
    assert_eq!((violation.value, violation.n), (3, 2));
}

const R2: GetQuorum = GetQuorum {
    n: 3,
    r: 2,
    pr: 0,
    node_confirms: 0,
    basic_quorum: false,
    notfound_ok: true,
};
const WARY: GetQuorum = GetQuorum {
    notfound_ok: false,
    ..R2
};
const WARY_BASIC: GetQuorum = GetQuorum {
    basic_quorum: true,
    ..WARY
};
const DOWN: GetOutcome = Failed(FailureKind::Unreachable);

/// The last reply brings the status; before it the get is pending.
#[test]
fn gets_case_by_case() {
    use Requirement::{NodeConfirms, PR, R};
    let r0 = GetQuorum { r: 0, ..R2 };
    let r1 = GetQuorum { r: 1, ..R2 };
    let r3 = GetQuorum { r: 3, ..R2 };
    let pr2 = GetQuorum { pr: 2, ..R2 };
    let confirms3 = GetQuorum {
        r: 1,
        node_confirms: 3,
        ..R2
    };
    let wary = |r| GetQuorum { r, ..WARY };
    let basic = |r| GetQuorum { r, ..WARY_BASIC };
    type Row<'a> = (GetQuorum, &'a str, &'a [(char, GetOutcome)], Status);
    let rows: &[Row<'_>] = &[
        (R2, "ABC", &[('A', Found), ('B', Found)], Status::Met),
        (R2, "ABC", &[('A', NotFound), ('B', Found)], Status::Met),
        (R2, "ABC", &[('A', NotFound), ('B', NotFound)], Status::Met),
        (
            R2,
            "ABC",
            &[('A', Unknown), ('B', NotFound), ('C', NotFound)],
            Status::Met,
        ),
        (
            R2,
            "ABC",
            &[('A', Unknown), ('B', NotFound), ('C', DOWN)],
            impossible(R, 2, 1),
        ),
        (R2, "ABC", &[('A', DOWN), ('B', DOWN)], impossible(R, 2, 0)),
        (R2, "A", &[], impossible(R, 2, 0)),
        (R2, "", &[], impossible(R, 2, 0)),
        (R2, "AA", &[], impossible(R, 2, 0)),
        (r3, "ABC", &[('A', DOWN)], impossible(R, 3, 0)),
        // One node twice, and a node that answers after it was given up.
        (
            R2,
            "ABC",
            &[('A', Found), ('A', Found), ('B', Found)],
            Status::Met,
        ),
        (
            R2,
            "ABC",
            &[('A', DOWN), ('B', Found), ('A', Found)],
            Status::Met,
        ),
        (
            R2,
            "ABC",
            &[
                ('A', Unknown),
                ('B', Found),
                ('A', Unknown),
                ('A', DOWN),
                ('C', DOWN),
            ],
            impossible(R, 2, 1),
        ),
        // At least one answer, even where none was asked for.
        (r0, "ABC", &[('A', DOWN), ('B', Found)], Status::Met),
        (r0, "AB", &[('A', DOWN), ('B', DOWN)], impossible(R, 1, 0)),
        // Primaries.
        (
            pr2,
            "ABc",
            &[('c', Found), ('A', Found), ('B', Found)],
            Status::Met,
        ),
        (
            pr2,
            "ABc",
            &[('c', Found), ('A', Found), ('B', DOWN)],
            impossible(PR, 2, 1),
        ),
        (pr2, "Abc", &[], impossible(PR, 2, 0)),
        // A node's role is the one that it was asked in.
        (
            pr2,
            "ABc",
            &[('A', Found), ('c', Found), ('B', NotFound)],
            Status::Met,
        ),
        // Different nodes.
        (
            confirms3,
            "ABC",
            &[('A', Found), ('B', Found), ('C', NotFound)],
            Status::Met,
        ),
        (
            confirms3,
            "ABC",
            &[('A', Found), ('B', DOWN)],
            impossible(NodeConfirms, 3, 1),
        ),
        // Not found is no answer: everybody is heard, then absence is one.
        (
            wary(1),
            "ABC",
            &[('A', NotFound), ('B', NotFound), ('C', Found)],
            Status::Met,
        ),
        (
            wary(1),
            "ABC",
            &[('A', NotFound), ('B', NotFound), ('C', NotFound)],
            Status::Met,
        ),
        (
            wary(3),
            "ABC",
            &[('A', NotFound), ('B', NotFound), ('C', NotFound)],
            Status::Met,
        ),
        (
            wary(3),
            "ABC",
            &[('A', NotFound), ('B', Found)],
            impossible(R, 3, 1),
        ),
        (
            wary(2),
            "ABC",
            &[('A', NotFound), ('B', DOWN)],
            impossible(R, 2, 0),
        ),
        (
            wary(2),
            "ABC",
            &[('A', NotFound), ('B', NotFound), ('C', Unknown)],
            impossible(R, 2, 0),
        ),
        (
            wary(2),
            "ABC",
            &[('A', Deleted), ('B', NotFound), ('C', NotFound)],
            Status::Met,
        ),
        (
            wary(2),
            "ABC",
            &[('A', Found), ('B', NotFound), ('C', NotFound)],
            impossible(R, 2, 1),
        ),
        // With the basic quorum, a majority is enough, and fewer where R or PR are stricter.
        (
            basic(1),
            "ABC",
            &[('A', NotFound), ('B', NotFound)],
            Status::Met,
        ),
        (
            basic(2),
            "ABC",
            &[('A', NotFound), ('B', NotFound)],
            Status::Met,
        ),
        (basic(3), "ABC", &[('A', NotFound)], Status::Met),
        (
            GetQuorum { pr: 3, ..basic(1) },
            "ABC",
            &[('A', NotFound)],
            Status::Met,
        ),
        (
            GetQuorum { pr: 3, ..basic(1) },
            "ABc",
            &[],
            impossible(PR, 3, 0),
        ),
        (
            basic(1),
            "ABC",
            &[('A', NotFound), ('B', DOWN), ('C', Found)],
            Status::Met,
        ),
        (
            basic(1),
            "ABC",
            &[('A', NotFound), ('B', DOWN), ('C', NotFound)],
            impossible(R, 1, 0),
        ),
        // It does nothing where not found is an answer.
        (
            GetQuorum {
                basic_quorum: true,
                ..r1
            },
            "ABC",
            &[('A', DOWN), ('B', DOWN), ('C', Found)],
            Status::Met,
        ),
    ];
    for (row, (quorum, targets, replies, expected)) in rows.iter().enumerate() {
        let mut tally = GetTally::new(*quorum, targets.chars().map(target));
        for (name, outcome) in *replies {
            assert_eq!(
                tally.status(),
                Status::Pending,
                "row {row}: before {name} {outcome:?}"
            );
            tally.record(get_reply(*name, *outcome));
        }
        assert_eq!(tally.status(), *expected, "row {row}");
    }
}

#[test]
fn a_get_is_told_of_overload_and_of_late_replies() {
    let mut tally = GetTally::new(R2, "ABC".chars().map(target));
    tally.record(get_reply('A', Failed(FailureKind::Overloaded)));
    let verdict = tally.record(get_reply('B', Failed(FailureKind::TimedOut)));
    assert_eq!(verdict, impossible(Requirement::R, 2, 0));
    assert_eq!(
        (tally.failures().overloaded, tally.failures().timed_out),
        (1, 1)
    );

    // What comes now is counted, and changes nothing.
    tally.expect_more(target('d'));
    assert_eq!(tally.record(get_reply('B', Found)), verdict);
    assert_eq!(tally.record(get_reply('C', Found)), verdict);
    assert_eq!(tally.record(get_reply('d', NotFound)), verdict);
    assert_eq!(tally.failures().total(), 1);
    let counts = GetCounts {
        counted: 3,
        primaries: 2,
        nodes: 3,
        not_found: 1,
        unknown: 0,
    };
    assert_eq!(tally.counts(), counts);
    assert_eq!(tally.outstanding().count(), 0);
}

#[test]
fn a_stand_in_takes_the_place_of_a_failed_replica() {
    let mut tally = GetTally::new(GetQuorum { r: 3, ..WARY }, "ABC".chars().map(target));
    assert_eq!(
        tally.retargeted(get_reply('A', DOWN), target('d')),
        Status::Pending
    );
    assert_eq!(
        tally.retargeted(get_reply('B', Unknown), target('e')),
        Status::Pending
    );
    for name in ['C', 'd'] {
        assert_eq!(tally.record(get_reply(name, NotFound)), Status::Pending);
    }
    assert_eq!(tally.record(get_reply('e', NotFound)), Status::Met);

    // One who is asked already can stand in for nobody.
    let mut tally = GetTally::new(R2, "AB".chars().map(target));
    let status = tally.retargeted(get_reply('A', DOWN), target('B'));
    assert_eq!(status, impossible(Requirement::R, 2, 0));
}

#[test]
#[should_panic(expected = "a stand-in for an answer")]
fn an_answer_needs_no_stand_in() {
    let mut tally = GetTally::new(R2, "ABC".chars().map(target));
    tally.retargeted(get_reply('A', NotFound), target('d'));
}

const W2: PutQuorum = PutQuorum {
    n: 3,
    w: 2,
    dw: 0,
    pw: 0,
    node_confirms: 0,
};

#[test]
fn puts_case_by_case() {
    use PutOutcome::{Durable, InMemory};
    use Requirement::{DW, NodeConfirms, PW, W};
    let gone = PutOutcome::Failed(FailureKind::Unreachable);
    let w0 = PutQuorum { w: 0, ..W2 };
    let dw2 = PutQuorum { dw: 2, ..W2 };
    let pw2 = PutQuorum { pw: 2, ..W2 };
    let confirms3 = PutQuorum {
        node_confirms: 3,
        ..W2
    };
    let all = PutQuorum {
        n: 3,
        w: 3,
        dw: 3,
        pw: 3,
        node_confirms: 3,
    };
    type Row<'a> = (PutQuorum, &'a str, &'a [(char, PutOutcome)], Status);
    let rows: &[Row<'_>] = &[
        (W2, "ABC", &[('A', Durable), ('B', InMemory)], Status::Met),
        (
            W2,
            "ABC",
            &[('A', Durable), ('A', Durable), ('B', Durable)],
            Status::Met,
        ),
        (
            W2,
            "ABC",
            &[('A', Durable), ('B', gone), ('C', gone)],
            impossible(W, 2, 1),
        ),
        (
            W2,
            "ABC",
            &[('A', Durable), ('B', gone), ('B', Durable)],
            Status::Met,
        ),
        (W2, "A", &[], impossible(W, 2, 0)),
        (w0, "AB", &[('A', gone), ('B', InMemory)], Status::Met),
        (w0, "AB", &[('A', gone), ('B', gone)], impossible(W, 1, 0)),
        (
            dw2,
            "ABC",
            &[('A', Durable), ('B', InMemory), ('C', Durable)],
            Status::Met,
        ),
        (
            dw2,
            "ABC",
            &[('A', Durable), ('B', InMemory), ('B', Durable)],
            Status::Met,
        ),
        (
            dw2,
            "ABC",
            &[('A', InMemory), ('B', InMemory)],
            impossible(DW, 2, 0),
        ),
        (
            pw2,
            "ABc",
            &[('c', Durable), ('A', Durable), ('B', InMemory)],
            Status::Met,
        ),
        (
            pw2,
            "ABc",
            &[('c', Durable), ('A', gone)],
            impossible(PW, 2, 0),
        ),
        (
            confirms3,
            "ABC",
            &[('A', Durable), ('B', Durable), ('C', Durable)],
            Status::Met,
        ),
        (
            confirms3,
            "ABC",
            &[('A', Durable), ('B', gone)],
            impossible(NodeConfirms, 3, 1),
        ),
        // Of several shortfalls PW is named first, then DW, then W.
        (all, "ABC", &[('A', gone)], impossible(PW, 3, 0)),
        (
            PutQuorum { pw: 0, ..all },
            "ABC",
            &[('A', gone)],
            impossible(DW, 3, 0),
        ),
        (
            PutQuorum {
                pw: 0,
                dw: 0,
                ..all
            },
            "ABC",
            &[('A', gone)],
            impossible(W, 3, 0),
        ),
    ];
    for (row, (quorum, targets, replies, expected)) in rows.iter().enumerate() {
        let mut tally = PutTally::new(*quorum, targets.chars().map(target));
        for (name, outcome) in *replies {
            assert_eq!(
                tally.status(),
                Status::Pending,
                "row {row}: before {name} {outcome:?}"
            );
            tally.record(put_reply(*name, *outcome));
        }
        assert_eq!(tally.status(), *expected, "row {row}");
    }
}

#[test]
fn a_put_goes_on_counting_after_its_verdict() {
    let mut tally = PutTally::new(W2, "ABC".chars().map(target));
    tally.record(put_reply('A', PutOutcome::Durable));
    assert_eq!(
        tally.record(put_reply('B', PutOutcome::InMemory)),
        Status::Met
    );
    assert_eq!(tally.outstanding().collect::<Vec<_>>(), [target('C')]);

    let refusal = put_reply('C', PutOutcome::Failed(FailureKind::Overloaded));
    assert_eq!(tally.retargeted(refusal, target('d')), Status::Met);
    assert_eq!(tally.failures().overloaded, 1);
    assert_eq!(
        tally.record(put_reply('d', PutOutcome::Durable)),
        Status::Met
    );
    assert_eq!(
        tally.record(put_reply('B', PutOutcome::Durable)),
        Status::Met
    );
    let counts = PutCounts {
        acknowledged: 3,
        durable: 3,
        primaries: 2,
        nodes: 3,
    };
    assert_eq!(tally.counts(), counts);
}

#[test]
fn a_stand_in_saves_a_put() {
    let refusal = put_reply('B', PutOutcome::Failed(FailureKind::Error));
    let mut without = PutTally::new(PutQuorum { w: 3, ..W2 }, "ABC".chars().map(target));
    assert_eq!(without.record(refusal), impossible(Requirement::W, 3, 0));

    let mut with = PutTally::new(PutQuorum { w: 3, ..W2 }, "ABC".chars().map(target));
    assert_eq!(with.retargeted(refusal, target('d')), Status::Pending);
    for name in ['A', 'C'] {
        assert_eq!(
            with.record(put_reply(name, PutOutcome::Durable)),
            Status::Pending
        );
    }
    assert_eq!(
        with.record(put_reply('d', PutOutcome::Durable)),
        Status::Met
    );
}
