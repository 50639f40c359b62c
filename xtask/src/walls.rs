//! Walls: which crate may use which, held against what cargo resolved.
//!
//! Decisions stay pure because the crates that make them cannot name a clock, a socket or a
//! runtime. This table is that rule; each crate's `clippy.toml` bans the functions, this bans the
//! packages. Every member must be in the table, so a new crate gets its wall with its first commit.
//!
//! Held here: dependencies between members (normal and build), packages that must not be linked
//! at all (by any way, not only asked for directly), and the features with which a package may be
//! taken. Also that no ordinary build enables `known-bad`, the wrong variants that tests look for.
//!
//! Not held: development dependencies. A test may use what its crate may not.

use crate::finding::Finding;
use crate::metadata::{Dependency, Kind, Package, Workspace};

/// The feature that compiles the wrong variants of the protocol's rules.
pub(crate) const KNOWN_BAD: &str = "known-bad";

/// One member's wall.
struct Wall {
    name: &'static str,
    /// Members that it may depend on.
    may_use: &'static [&'static str],
    /// Packages that its build must not link, directly or through others.
    never_links: &'static [&'static str],
    /// Packages that it takes without default features, and with these at most.
    limited: &'static [(&'static str, &'static [&'static str])],
}

const WALLS: &[Wall] = &[
    Wall {
        name: "ringhold-core",
        may_use: &[],
        never_links: &[
            "futures-core",
            "getrandom",
            "hyper",
            "log",
            "mio",
            "rand",
            "rand_core",
            "rustix",
            "tokio",
            "tracing",
        ],
        limited: &[],
    },
    Wall {
        name: "ringhold-storage",
        may_use: &["ringhold-core"],
        never_links: &["getrandom", "hyper", "mio", "rand", "tokio"],
        limited: &[],
    },
    Wall {
        name: "ringhold-fjall",
        may_use: &["ringhold-core", "ringhold-storage"],
        never_links: &["hyper", "mio", "tokio"],
        limited: &[],
    },
    Wall {
        name: "ringhold-wire",
        may_use: &["ringhold-core"],
        never_links: &[
            "getrandom",
            "hyper",
            "mio",
            "rand",
            "socket2",
            "tokio",
            "tracing",
        ],
        limited: &[],
    },
    Wall {
        name: "ringhold-node",
        may_use: &["ringhold-core", "ringhold-storage", "ringhold-wire"],
        never_links: &["getrandom", "hyper", "mio", "rand", "socket2"],
        limited: &[("tokio", &["sync"])],
    },
    Wall {
        name: "ringhold-sim",
        may_use: &[
            "ringhold-core",
            "ringhold-storage",
            "ringhold-wire",
            "ringhold-node",
        ],
        never_links: &["getrandom", "hyper", "mio", "socket2"],
        limited: &[("tokio", &["sync"])],
    },
    Wall {
        name: "ringhold-server",
        may_use: &[
            "ringhold-core",
            "ringhold-storage",
            "ringhold-fjall",
            "ringhold-wire",
            "ringhold-node",
        ],
        never_links: &["native-tls", "openssl-sys"],
        limited: &[],
    },
    Wall {
        name: "ringhold-client",
        may_use: &["ringhold-core", "ringhold-wire"],
        never_links: &["heed", "native-tls", "openssl-sys"],
        limited: &[],
    },
    Wall {
        name: "ringhold",
        may_use: &[
            "ringhold-core",
            "ringhold-storage",
            "ringhold-wire",
            "ringhold-node",
            "ringhold-server",
            "ringhold-client",
            "ringhold-sim",
        ],
        never_links: &["native-tls", "openssl-sys"],
        limited: &[],
    },
    Wall {
        name: "xtask",
        may_use: &[],
        never_links: &["tokio"],
        limited: &[],
    },
];

pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in workspace.members() {
        findings.extend(known_bad_enabled(member));
        match WALLS.iter().find(|wall| wall.name == member.name) {
            Some(wall) => findings.extend(breaches(wall, member, workspace)),
            None => findings.push(finding(member, "has no wall: add it to the table")),
        }
    }
    findings
}

/// The members whose tests run once more with the wrong variants compiled in.
pub(crate) fn members_with_known_bad(workspace: &Workspace) -> Vec<String> {
    let members = workspace.members();
    members
        .filter(|member| member.features.contains_key(KNOWN_BAD))
        .map(|member| member.name.clone())
        .collect()
}

fn breaches(wall: &Wall, member: &Package, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_member = |name: &str| workspace.members().any(|member| member.name == name);
    for dependency in needed(member) {
        let name = dependency.name.as_str();
        if is_member(name) && !wall.may_use.contains(&name) {
            findings.push(finding(member, &format!("must not use {name}")));
        }
        if let Some((_, features)) = wall.limited.iter().find(|(limited, _)| *limited == name) {
            findings.extend(beyond(member, dependency, features));
        }
    }
    let limited: Vec<_> = wall.limited.iter().map(|(name, _)| *name).collect();
    for (name, way) in workspace.linked(member, &limited) {
        if wall.never_links.contains(&name.as_str()) {
            findings.push(finding(
                member,
                &format!("must not link {name} (through {way})"),
            ));
        }
    }
    findings
}

/// Features of a limited package that go past its limit.
fn beyond(member: &Package, dependency: &Dependency, features: &[&str]) -> Vec<Finding> {
    let name = &dependency.name;
    let mut findings = Vec::new();
    if dependency.default_features {
        findings.push(finding(
            member,
            &format!("takes {name} with its default features"),
        ));
    }
    for feature in &dependency.features {
        if !features.contains(&feature.as_str()) {
            let message = format!("takes {name} with `{feature}`, at most {features:?}");
            findings.push(finding(member, &message));
        }
    }
    findings
}

/// Ways in which an ordinary build of `member` would compile wrong variants.
fn known_bad_enabled(member: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (feature, switches_on) in &member.features {
        let spreads = switches_on
            .iter()
            .any(|on| on == KNOWN_BAD || on.ends_with("/known-bad"));
        if spreads && feature != KNOWN_BAD {
            findings.push(finding(
                member,
                &format!("feature `{feature}` enables {KNOWN_BAD}"),
            ));
        }
    }
    for dependency in needed(member) {
        if dependency
            .features
            .iter()
            .any(|feature| feature == KNOWN_BAD)
        {
            findings.push(finding(
                member,
                &format!("takes {} with {KNOWN_BAD}", dependency.name),
            ));
        }
    }
    findings
}

fn needed(member: &Package) -> impl Iterator<Item = &Dependency> {
    let dependencies = member.dependencies.iter();
    dependencies.filter(|dependency| dependency.kind != Kind::Development)
}

fn finding(member: &Package, what: &str) -> Finding {
    let path = match member.name.as_str() {
        "xtask" => "xtask/Cargo.toml".to_owned(),
        name => format!("crates/{name}/Cargo.toml"),
    };
    Finding::error(&path, 0, "wall", format!("{} {what}", member.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{package, workspace};

    fn messages(members: &[&str], packages: &[serde_json::Value]) -> Vec<String> {
        let findings = check(&workspace(members, packages));
        findings
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let members = ["ringhold-core", "ringhold-node"];
        let node = package(
            "ringhold-node",
            &[
                ("ringhold-core", None, &[], true),
                ("tokio", None, &["sync"], false),
            ],
        );
        let packages = [package("ringhold-core", &[]), node, package("tokio", &[])];
        assert_eq!(messages(&members, &packages), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_wall_is_found() {
        let found = messages(&["ringhold-extra"], &[package("ringhold-extra", &[])]);
        assert_eq!(found, ["ringhold-extra has no wall: add it to the table"]);
    }

    #[test]
    fn a_dependency_upward_is_found() {
        let client = package("ringhold-client", &[("ringhold-node", None, &[], true)]);
        let packages = [client, package("ringhold-node", &[])];
        let found = messages(&["ringhold-client", "ringhold-node"], &packages);
        assert_eq!(found, ["ringhold-client must not use ringhold-node"]);
    }

    #[test]
    fn a_forbidden_package_is_found_behind_another() {
        let core = package("ringhold-core", &[("innocent", None, &[], true)]);
        let innocent = package("innocent", &[("getrandom", None, &[], true)]);
        let packages = [core, innocent, package("getrandom", &[])];
        let found = messages(&["ringhold-core"], &packages);
        let expected = "ringhold-core must not link getrandom (through innocent → getrandom)";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn development_dependencies_are_free() {
        let core = package("ringhold-core", &[("tokio", Some("dev"), &["full"], true)]);
        assert_eq!(
            messages(&["ringhold-core"], &[core, package("tokio", &[])]),
            [""; 0]
        );
    }

    #[test]
    fn features_past_the_limit_are_found() {
        let node = package("ringhold-node", &[("tokio", None, &["sync", "rt"], true)]);
        let found = messages(&["ringhold-node"], &[node, package("tokio", &[])]);
        assert_eq!(
            found,
            [
                "ringhold-node takes tokio with its default features",
                "ringhold-node takes tokio with `rt`, at most [\"sync\"]",
            ]
        );
    }

    #[test]
    fn no_ordinary_build_enables_the_wrong_variants() {
        let mut node = package("ringhold-node", &[]);
        node["features"] = serde_json::json!({ "known-bad": [], "default": ["known-bad"] });
        let server = package(
            "ringhold-server",
            &[("ringhold-node", None, &["known-bad"], true)],
        );
        let found = messages(&["ringhold-node", "ringhold-server"], &[node, server]);
        assert_eq!(
            found,
            [
                "ringhold-node feature `default` enables known-bad",
                "ringhold-server takes ringhold-node with known-bad",
            ]
        );
    }

    #[test]
    fn walls_name_crates_that_have_walls() {
        for wall in WALLS {
            for name in wall.may_use {
                assert!(WALLS.iter().any(|other| other.name == *name), "{name}");
            }
        }
    }
}
