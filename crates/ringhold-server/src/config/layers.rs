//! The four layers of settings, merged into one table, with the origin of each value.
//!
//! Everything here works on tables of TOML: the defaults are one, the file is one, and a variable
//! or flag is one leaf of one, typed like the default that it replaces. Each layer is converted to
//! a [`Config`] when it is added, so that an error names the layer that brought it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError};

/// Variables of the environment that are settings begin with this.
pub const ENVIRONMENT_PREFIX: &str = "RINGHOLD_";

/// Who said a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// The founding file's row of this node.
    Founding,
    File(PathBuf),
    /// The variable's name.
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Founding => f.write_str("the founding file"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("a flag"),
        }
    }
}
/// The layers, merged: a table of all settings, and who said each.
#[derive(Debug, Clone)]
pub struct Layers {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Default, file, environment, flags (`overrides`: key and value as text), the later winning.
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut layers = Self {
            table: table_of(&Config::default()),
            origins: BTreeMap::new(),
        };
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        let keys: BTreeMap<String, String> = settings()
            .into_iter()
            .map(|key| (variable_of(&key), key))
            .collect();
        for (variable, value) in environment {
            if let Some(key) = keys.get(&variable) {
                layers.set(key, &value, Origin::Environment(variable))?;
            }
        }
        for (key, value) in overrides {
            layers.set(key, value, Origin::Flag)?;
        }
        Ok(layers)
    }

    /// Sets what nobody has set, as if it were the default.
    pub fn suggest(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), ConfigError> {
        if self.origin(key) == Origin::Default {
            self.set(key, value, origin)
        } else {
            Ok(())
        }
    }

    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    #[must_use]
    pub fn config(&self) -> Config {
        let converted: Result<Config, toml::de::Error> =
            Value::Table(self.table.clone()).try_into();
        converted.expect("every layer was converted when it was added")
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        let refuse = |error: toml::de::Error| ConfigError::File {
            path: path.to_owned(),
            problem: error.to_string(),
        };
        // Read as a `Config` first: this refuses unknown keys and names line and column.
        toml::from_str::<Config>(&text).map_err(refuse)?;
        let said: Table = toml::from_str(&text).map_err(refuse)?;
        for (key, value) in leaves(&said) {
            insert(&mut self.table, &key, value);
            self.origins.insert(key, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let refuse = |problem: String| ConfigError::Value {
            origin: origin.clone(),
            key: key.to_owned(),
            value: text.to_owned(),
            problem,
        };
        let before =
            lookup(&table_with_founding(), key).ok_or_else(|| ConfigError::UnknownKey {
                key: key.to_owned(),
            })?;
        let value = match before {
            Value::Integer(_) => Value::Integer(
                text.parse()
                    .map_err(|_| refuse("it must be a whole number".to_owned()))?,
            ),
            Value::Boolean(_) => Value::Boolean(
                text.parse()
                    .map_err(|_| refuse("it must be true or false".to_owned()))?,
            ),
            _ => Value::String(text.to_owned()),
        };
        let mut table = self.table.clone();
        insert(&mut table, key, value);
        let converted: Result<Config, toml::de::Error> = Value::Table(table.clone()).try_into();
        converted.map_err(|error| refuse(error.to_string()))?;
        self.table = table;
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }
}

/// The settings as a file that sets every one of them, with the origin of what is not a default.
impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |key: &str, name: &str, value: &Value| {
            let note = match self.origin(key) {
                Origin::Default => String::new(),
                origin => format!("  # {origin}"),
            };
            format!("{name} = {}{note}", scalar(value))
        };
        for (name, value) in self.table.iter().filter(|(_, value)| !value.is_table()) {
            writeln!(f, "{}", line(name, name, value))?;
        }
        for (section, table) in &self.table {
            let Value::Table(table) = table else { continue };
            writeln!(f, "\n[{section}]")?;
            for (name, value) in table {
                writeln!(f, "{}", line(&format!("{section}.{name}"), name, value))?;
            }
        }
        Ok(())
    }
}
/// The keys of all settings, `section.name`.
#[must_use]
pub fn settings() -> Vec<String> {
    leaves(&table_with_founding())
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

/// The variable that sets a key: `listen.http` → `RINGHOLD_LISTEN_HTTP`.
#[must_use]
pub fn variable_of(key: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}",
        key.replace('.', "_").to_ascii_uppercase()
    )
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::String(text) => quoted(text),
        _ => unreachable!("a setting is a number, a truth value or a text"),
    }
}

fn table_of(config: &Config) -> Table {
    Table::try_from(config).expect("a configuration is made of texts, numbers and truth values")
}

/// The defaults, with the one setting that has none.
fn table_with_founding() -> Table {
    table_of(&Config {
        founding: Some(PathBuf::new()),
        ..Config::default()
    })
}

fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                leaves.extend(
                    section
                        .iter()
                        .map(|(leaf, value)| (format!("{name}.{leaf}"), value.clone())),
                );
            }
            value => leaves.push((name.clone(), value.clone())),
        }
    }
    leaves
}

fn lookup(table: &Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        Some((section, name)) => table.get(section)?.as_table()?.get(name).cloned(),
        None => table.get(key).filter(|value| !value.is_table()).cloned(),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, name)) => {
            let section = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(name.to_owned(), value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::Limits;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("a written file");
        file
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn load(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Config, ConfigError> {
        let file = file(text);
        Config::load(
            Some(file.path()),
            pairs(environment).into_iter(),
            &pairs(flags),
        )
    }

    #[test]
    fn defaults_need_no_file_and_pass_the_check() {
        let config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
        assert_eq!(config, Config::default());
        config.check().expect("defaults are usable");
    }

    #[test]
    fn the_later_layer_wins() {
        let text = "name = \"f\"\n[limits]\nkey_bytes = 1\nname_bytes = 1\nvalue_bytes = 1\n";
        let environment = [
            ("RINGHOLD_LIMITS_NAME_BYTES", "2"),
            ("RINGHOLD_LIMITS_VALUE_BYTES", "2"),
            ("RINGHOLD_PORT", "tcp://10.0.0.1:8098"),
            ("PATH", "/bin"),
        ];
        let config = load(text, &environment, &[("limits.value_bytes", "3")]).expect("layers");
        assert_eq!(config.name, "f");
        assert_eq!(config.limits.key_bytes, 1);
        assert_eq!(config.limits.name_bytes, 2);
        assert_eq!(config.limits.value_bytes, 3);
        assert_eq!(config.limits.siblings, Limits::default().siblings);
    }

    #[test]
    fn each_value_knows_who_said_it() {
        let file = file("name = \"f\"\n");
        let environment = pairs(&[("RINGHOLD_LISTEN_HTTP", "127.0.0.1:1")]);
        let flags = pairs(&[("insecure", "true")]);
        let mut layers =
            Layers::read(Some(file.path()), environment.into_iter(), &flags).expect("layers");
        assert_eq!(layers.origin("name"), Origin::File(file.path().to_owned()));
        assert_eq!(
            layers.origin("listen.http"),
            Origin::Environment("RINGHOLD_LISTEN_HTTP".to_owned())
        );
        assert_eq!(layers.origin("insecure"), Origin::Flag);
        assert_eq!(layers.origin("listen.peer"), Origin::Default);
        layers
            .suggest("name", "other", Origin::Founding)
            .expect("a usable name");
        layers
            .suggest("listen.peer", "127.0.0.1:2", Origin::Founding)
            .expect("an address");
        let config = layers.config();
        assert_eq!((config.name.as_str(), config.listen.peer.port()), ("f", 2));
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let flags = pairs(&[
            ("name", "a \"b\" \\ \n c"),
            ("founding", "/x/y"),
            ("storage.engine", "memory"),
        ]);
        let layers = Layers::read(None, std::iter::empty(), &flags).expect("layers");
        assert_eq!(
            load(&layers.to_string(), &[], &[]).expect("shown"),
            layers.config()
        );
    }

    #[test]
    fn errors_say_where_and_what() {
        let check =
            |text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)], parts: &[&str]| {
                let message = load(text, environment, flags)
                    .expect_err("an error")
                    .to_string();
                for part in parts {
                    assert!(message.contains(part), "{part:?} is not in {message:?}");
                }
            };
        check("nmae = \"x\"", &[], &[], &["line 1", "nmae", "config show"]);
        check(
            "[listen]\nhttp = \"localhost\"",
            &[],
            &[],
            &["line 2", "socket address"],
        );
        check("name = ", &[], &[], &["line 1"]);
        check(
            "",
            &[("RINGHOLD_STORAGE_GROUPS", "many")],
            &[],
            &["RINGHOLD_STORAGE_GROUPS", "many", "whole number"],
        );
        check(
            "",
            &[("RINGHOLD_STORAGE_GROUPS", "-1")],
            &[],
            &["RINGHOLD_STORAGE_GROUPS", "-1"],
        );
        check(
            "",
            &[],
            &[("insecure", "yes")],
            &["insecure", "true or false"],
        );
        check(
            "",
            &[],
            &[("storage.engine", "sled")],
            &["sled", "lmdb", "fjall"],
        );
        check("", &[], &[("listen", "x")], &["no setting", "listen"]);
        let missing = Config::load(Some(Path::new("/nowhere/x.toml")), std::iter::empty(), &[]);
        assert!(
            missing
                .expect_err("no file")
                .to_string()
                .contains("/nowhere/x.toml")
        );
    }

    #[test]
    fn no_two_settings_share_a_variable() {
        let settings = settings();
        let mut variables: Vec<String> = settings.iter().map(|key| variable_of(key)).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), settings.len());
        assert!(settings.contains(&"founding".to_owned()));
        assert!(settings.contains(&"default_bucket.allow_mult".to_owned()));
    }
}
