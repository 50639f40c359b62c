//! The workspace as cargo sees it: `cargo metadata`, read into a few plain types.
//!
//! Cargo resolves features, renames and workspace inheritance before it prints this, so rules over
//! dependencies ask here and never read a `Cargo.toml`. Only what the rules need is kept: who is a
//! member, what each package asks for, and which packages end up in its normal build.
//!
//! The command runs with `--locked --offline`: checking the tree neither changes nor downloads
//! anything.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Why the workspace could not be read. Nothing was changed.
#[derive(Debug)]
pub(crate) enum MetadataError {
    /// Cargo could not be started.
    NotStarted { source: std::io::Error },
    /// Cargo refused: the lock file is out of date, or a package is not downloaded yet.
    Refused { stderr: String },
    /// Cargo printed something that is not JSON.
    NotJson { source: serde_json::Error },
    /// Cargo's output lacks a field that every version of the format has.
    Missing { field: &'static str },
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { source } => write!(f, "cargo metadata did not start: {source}"),
            Self::Refused { stderr } => write!(
                f,
                "cargo metadata failed (`cargo fetch --locked` downloads what is missing):\n{}",
                stderr.trim_end()
            ),
            Self::NotJson { source } => write!(f, "cargo metadata printed no JSON: {source}"),
            Self::Missing { field } => write!(f, "cargo metadata has no field `{field}`"),
        }
    }
}

impl std::error::Error for MetadataError {}

/// When a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Development,
}

/// What one package asks of another.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) features: Vec<String>,
    pub(crate) default_features: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The licence expression, if the package has one.
    pub(crate) licence: Option<String>,
    /// Where it came from; `None` for a path in this workspace.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Each feature with what it switches on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// All packages of the lock file that some member can reach.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    member_ids: Vec<String>,
    /// From a package's id to the ids that its normal build links.
    links: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    /// Asks cargo about the workspace at `root`.
    pub(crate) fn load(root: &Path) -> Result<Self, MetadataError> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .current_dir(root)
            .output()
            .map_err(|source| MetadataError::NotStarted { source })?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(MetadataError::Refused { stderr });
        }
        let document = serde_json::from_slice(&output.stdout)
            .map_err(|source| MetadataError::NotJson { source })?;
        Self::from_json(&document)
    }

    pub(crate) fn from_json(document: &Value) -> Result<Self, MetadataError> {
        let packages = array(document, "packages")?
            .iter()
            .map(Package::from_json)
            .collect::<Result<Vec<_>, _>>()?;
        let member_ids = array(document, "workspace_members")?
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let resolve = document
            .get("resolve")
            .ok_or(MetadataError::Missing { field: "resolve" })?;
        let links = array(resolve, "nodes")?
            .iter()
            .map(|node| Ok((text(node, "id")?, normal_links(node)?)))
            .collect::<Result<BTreeMap<_, _>, MetadataError>>()?;
        Ok(Self {
            packages,
            member_ids,
            links,
        })
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        let packages = self.packages.iter();
        packages.filter(|package| self.member_ids.contains(&package.id))
    }

    /// Every package that `package`'s normal build links, by name, with the way there
    /// (`heed → libc`). The nearest way where there are several.
    ///
    /// Cargo's graph unites features over the whole workspace: what stands behind a package that
    /// another member takes with more features would be blamed on this one. Such packages are named
    /// in `not_through`; they are listed, and not followed.
    pub(crate) fn linked(
        &self,
        package: &Package,
        not_through: &[&str],
    ) -> BTreeMap<String, String> {
        let mut ways = BTreeMap::new();
        let mut waiting = VecDeque::from([(package.id.as_str(), String::new())]);
        while let Some((id, way)) = waiting.pop_front() {
            for next in self.links.get(id).into_iter().flatten() {
                let Some(found) = self.packages.iter().find(|package| package.id == *next) else {
                    continue;
                };
                if ways.contains_key(&found.name) {
                    continue;
                }
                let way = match way.as_str() {
                    "" => found.name.clone(),
                    before => format!("{before} → {}", found.name),
                };
                ways.insert(found.name.clone(), way.clone());
                if !not_through.contains(&found.name.as_str()) {
                    waiting.push_back((next, way));
                }
            }
        }
        ways
    }
}

impl Package {
    fn from_json(value: &Value) -> Result<Self, MetadataError> {
        let dependencies = array(value, "dependencies")?
            .iter()
            .map(Dependency::from_json)
            .collect::<Result<Vec<_>, _>>()?;
        let features = value
            .get("features")
            .and_then(Value::as_object)
            .ok_or(MetadataError::Missing { field: "features" })?;
        Ok(Self {
            id: text(value, "id")?,
            name: text(value, "name")?,
            version: text(value, "version")?,
            licence: value["license"].as_str().map(str::to_owned),
            source: value["source"].as_str().map(str::to_owned),
            dependencies,
            features: features
                .iter()
                .map(|(name, on)| (name.clone(), strings(on)))
                .collect(),
        })
    }
}

impl Dependency {
    fn from_json(value: &Value) -> Result<Self, MetadataError> {
        Ok(Self {
            name: text(value, "name")?,
            kind: match value["kind"].as_str() {
                Some("dev") => Kind::Development,
                Some("build") => Kind::Build,
                _ => Kind::Normal,
            },
            features: strings(&value["features"]),
            default_features: value["uses_default_features"].as_bool().unwrap_or(true),
        })
    }
}

/// The cargo that runs us, or the one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The ids that a node of the resolve graph links in a normal build.
fn normal_links(node: &Value) -> Result<Vec<String>, MetadataError> {
    let mut links = Vec::new();
    for dependency in array(node, "deps")? {
        let kinds = array(dependency, "dep_kinds")?;
        if kinds.iter().any(|kind| kind["kind"].is_null()) {
            links.push(text(dependency, "pkg")?);
        }
    }
    Ok(links)
}

fn array<'a>(value: &'a Value, field: &'static str) -> Result<&'a Vec<Value>, MetadataError> {
    let found = value.get(field).and_then(Value::as_array);
    found.ok_or(MetadataError::Missing { field })
}

fn text(value: &Value, field: &'static str) -> Result<String, MetadataError> {
    let found = value.get(field).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or(MetadataError::Missing { field })
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A package as cargo prints it; `dependencies` are (name, kind, features, default features).
    pub(crate) fn package(
        name: &str,
        dependencies: &[(&str, Option<&str>, &[&str], bool)],
    ) -> Value {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind, features, default)| {
                json!({ "name": name, "kind": kind, "features": features,
                        "uses_default_features": default })
            })
            .collect();
        json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": null,
                "dependencies": dependencies, "features": {} })
    }

    /// A workspace whose resolve graph follows the packages' dependencies.
    pub(crate) fn workspace(members: &[&str], packages: &[Value]) -> Workspace {
        let nodes: Vec<_> = packages
            .iter()
            .map(|package| {
                let asked = package["dependencies"]
                    .as_array()
                    .expect("made by `package`");
                let deps: Vec<_> = asked
                    .iter()
                    .map(|d| json!({ "pkg": d["name"], "dep_kinds": [{ "kind": d["kind"] }] }))
                    .collect();
                json!({ "id": package["id"], "deps": deps })
            })
            .collect();
        let document = json!({ "packages": packages, "workspace_members": members,
                               "resolve": { "nodes": nodes } });
        Workspace::from_json(&document).expect("all fields are there")
    }

    #[test]
    fn linked_packages_carry_the_way_to_them() {
        let workspace = workspace(
            &["a"],
            &[
                package(
                    "a",
                    &[("b", None, &[], true), ("d", Some("dev"), &[], true)],
                ),
                package("b", &[("c", None, &[], true)]),
                package("c", &[]),
                package("d", &[]),
            ],
        );
        let members: Vec<_> = workspace.members().collect();
        assert_eq!(members.len(), 1);
        let ways = |not_through: &[&str]| {
            let linked = workspace.linked(members[0], not_through);
            linked.into_values().collect::<Vec<_>>()
        };
        assert_eq!(ways(&[]), ["b", "b → c"]);
        assert_eq!(ways(&["b"]), ["b"]);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Workspace::from_json(&json!({ "packages": [{}] })).expect_err("incomplete");
        assert!(
            matches!(
                error,
                MetadataError::Missing {
                    field: "dependencies"
                }
            ),
            "{error}"
        );
    }
}
