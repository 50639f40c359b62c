//! A benchmark counts what it did, by each protocol, and its reports agree with it. No time is judged here.

use crate::cluster::{Cluster, ringhold};
use serde_json::Value;
use std::fs;
use std::path::Path;

const OPERATIONS: u64 = 60;
const VALUE_BYTES: u64 = 100;

fn run(words: &[&str], paths: &[(&str, &Path)]) -> String {
    let mut command = ringhold();
    command.arg("bench").args(words);
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bench {words:?}: {said}");
    String::from_utf8(output.stdout).expect("it is text")
}

fn count(json: &Value) -> u64 {
    json.as_u64()
        .unwrap_or_else(|| panic!("{json} is no count"))
}

fn sum(json: &Value, field: impl Fn(&Value) -> u64) -> u64 {
    json.as_array().expect("a list").iter().map(field).sum()
}

/// Read-modify-writes of a few keys: so many gets, as many puts, and three log writes for each.
fn check(report: &Value, protocol: &str) {
    assert_eq!(report["protocol"], protocol);
    assert_eq!(report["failures"], serde_json::json!({}), "{report:#}");
    assert_eq!(count(&report["operations"]), OPERATIONS);
    for kind in ["get", "put", "rmw"] {
        assert_eq!(count(&report[kind]["count"]), OPERATIONS, "{kind}");
        let percentile = |name: &str| report[kind][name].as_f64().expect("some were recorded");
        assert!(percentile("p50_us") <= percentile("p99_9_us"), "{kind}");
        assert!(percentile("p99_9_us") <= percentile("max_us"), "{kind}");
        assert!(
            report[kind]["corrected"]["p50_us"].is_number(),
            "a closed loop"
        );
    }
    let requests = sum(&report["by_second"], |second| count(&second["requests"]));
    assert_eq!(requests, 2 * OPERATIONS);
    let in_time = sum(&report["in_time_by_seconds"], count);
    assert_eq!(count(&report["in_time"]), in_time);
    let versions = report["versions_seen"].as_object().expect("a table");
    assert_eq!(versions.values().map(count).sum::<u64>(), OPERATIONS);
    // A third replica may write after the answer; two of them do before it.
    let log_writes = count(&report["log_writes"]);
    assert!(log_writes >= 2 * OPERATIONS, "{log_writes} log writes");
    assert!(count(&report["flushes"]) > 0);
    assert!(report["flushes_per_put"].as_f64() > Some(0.0));
    assert!(count(&report["servers_bytes_max"]) <= count(&report["servers_resident_bytes_max"]));
    assert!(count(&report["servers_bytes_max"]) > 0);
    let replication = &report["conditions"]["replication"];
    for (name, number) in [("members", 3), ("n", 3), ("r", 2), ("w", 2)] {
        assert_eq!(count(&replication[name]), number, "{name}");
    }
    let command = report["conditions"]["command"].as_str().expect("a text");
    assert!(!command.contains('/'), "{command}");
}

#[test]
fn reports_count_what_was_done_by_each_protocol() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let file = cluster.file();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let page = directory.path().join("report.html");
    let operations = OPERATIONS.to_string();
    let value_bytes = VALUE_BYTES.to_string();
    let mut files = Vec::new();
    for (protocol, drawn) in [("http", "uniform"), ("pb", "zipf"), ("native", "zipf")] {
        let words = [
            ["--protocol", protocol],
            ["--keys-distribution", drawn],
            ["--workload", "rmw"],
            ["--operations", &operations],
            ["--value-bytes", &value_bytes],
            ["--connections", "4"],
            ["--keys", "1000"],
            ["--output", "json"],
        ];
        let said = run(
            &words.concat(),
            &[("--cluster", &file), ("--report", &page)],
        );
        check(&serde_json::from_str(&said).expect("it is JSON"), protocol);
        let drawn = fs::read_to_string(&page).expect("the page was written");
        assert!(drawn.contains("<polyline") && drawn.ends_with("</html>\n"));
        files.push(directory.path().join(protocol));
        fs::write(&files[files.len() - 1], said).expect("a file can be written");
    }
    let names: Vec<&str> = files.iter().filter_map(|file| file.to_str()).collect();
    let compared = run(&["compare", names[0], names[1]], &[]);
    assert!(
        compared.contains("warning: not under the same conditions"),
        "{compared}"
    );
    let same = run(&["compare", names[0], names[0], "--output", "json"], &[]);
    let same: Value = serde_json::from_str(&same).expect("it is JSON");
    assert_eq!(same["differences"], serde_json::json!([]));
    let words = [&["summarize", "--output", "json"], &names[..]].concat();
    let summary = run(&words, &[("--report", &page)]);
    let summary: Value = serde_json::from_str(&summary).expect("it is JSON");
    assert_eq!(sum(&summary, |group| count(&group["runs"])), 3);
}

/// Versions that gets of a run with this seed saw, and how often; before it, puts without context, each with a seed or with its own.
fn versions_after(cluster: &Cluster, puts: &[Option<&str>], gets: &str) -> Value {
    let run = |workload: &str, seed: Option<&str>| {
        let mut words = vec!["--workload", workload, "--with-context", "false"];
        words.extend(["--operations", "40", "--connections", "1"]);
        words.extend(["--keys", "1000000000", "--output", "json"]);
        words.extend(seed.into_iter().flat_map(|seed| ["--random-seed", seed]));
        let said = run(&words, &[("--cluster", &cluster.file())]);
        serde_json::from_str::<Value>(&said).expect("it is JSON")
    };
    for seed in puts {
        let report = run("put", *seed);
        let told = report["conditions"]["random_seed"].as_u64();
        let told = told.expect("a number").to_string();
        assert!(seed.is_none_or(|seed| seed == told), "{told}");
    }
    run("get", Some(gets))["versions_seen"].clone()
}

#[test]
fn each_run_draws_its_own_keys_unless_told_which() {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_ready();
    let puts = [Some("5"), None, None];
    let seen = versions_after(&cluster, &puts, "5");
    assert_eq!(seen, serde_json::json!({"1": 40}), "nobody put these again");
    let seen = versions_after(&cluster, &[Some("5")], "5");
    assert_eq!(
        seen,
        serde_json::json!({"2": 40}),
        "the same keys once more"
    );
}

#[test]
fn floors_are_those_of_the_run() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let words = [
        "--protocol",
        "native",
        "--workload",
        "put",
        "--with-context",
        "false",
        "--operations",
        "500",
        "--connections",
        "8",
        "--keys",
        "1000",
        "--floors",
        "--output",
        "json",
    ];
    let said = run(&words, &[("--cluster", &cluster.file())]);
    let report: Value = serde_json::from_str(&said).expect("it is JSON");
    let floors = &report["floors"];
    for (name, number) in [("n", 3), ("r", 2), ("w", 2)] {
        assert_eq!(count(&floors[name]), number, "{name}");
    }
    let figure = |name: &str| {
        floors[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {floors}"))
    };
    assert!(
        (figure("puts_per_operation") - 1.0).abs() < 1e-9 && figure("gets_per_operation") == 0.0
    );
    let per_flush = report["log_writes_per_flush"].as_f64().expect("it flushed");
    assert!((figure("batch") - per_flush).abs() <= 0.5);
    let named = [
        "store_us",
        "frames_us",
        "cpu_ratio",
        "flush_p50_us",
        "round_trips_p50_us",
        "latency_ratio",
    ];
    for name in named {
        assert!(figure(name) > 0.0, "{name}: {floors}");
    }
    let ratio = figure("whole_us") / (figure("store_us") + figure("frames_us"));
    assert!((figure("cpu_ratio") / ratio - 1.0).abs() < 1e-6);
}
