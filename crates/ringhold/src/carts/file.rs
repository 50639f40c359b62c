//! Rows of a transactions file into carts.
//!
//! Columns are found by their names in the first line, in any order, others are ignored. The whole
//! file is read before anything is written anywhere: a row that can't be understood stops the
//! command with its line and column, and no cart is half there.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};

use csv::{ErrorKind, Position, StringRecord};

use crate::carts::cart::Item;

/// One basket of one household, its items in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Basket {
    /// `HOUSEHOLD-BASKET`.
    pub(crate) key: String,
    /// Never empty.
    pub(crate) items: Vec<Item>,
}

/// Names by product.
pub(crate) type Products = HashMap<String, String>;

/// Where a file is wrong. Nothing has been written anywhere.
#[derive(Debug)]
pub(crate) struct FileError {
    file: String,
    /// The first line of a file is 1.
    line: Option<u64>,
    /// The first column of a row is 1.
    column: Option<(usize, String)>,
    problem: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some((column, name)) = &self.column {
            write!(f, ", column {column} ({name})")?;
        }
        write!(f, ": {}; nothing was written", self.problem)
    }
}

impl std::error::Error for FileError {}

/// Reads carts, in the order of their first rows. `file` names the source in errors.
pub(crate) fn baskets(
    file: &str,
    source: impl Read,
    products: &Products,
) -> Result<Vec<Basket>, FileError> {
    let mut rows = Rows::open(file, source)?;
    let names = [
        "timestamp",
        "household_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
    ];
    let columns = rows.columns(names)?;
    let mut baskets: Vec<Basket> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut line = 0;
    while let Some(row) = rows.next()? {
        line += 1;
        let [time, household, basket, product, quantity, value] = columns;
        let product = row.text(product)?;
        let item = Item {
            line,
            time: row.text(time)?.to_owned(),
            product: product.to_owned(),
            name: products.get(product).cloned(),
            quantity: row.parsed(quantity, "a whole number")?,
            value: row.amount(value)?,
        };
        let key = format!("{}-{}", row.text(household)?, row.text(basket)?);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            baskets.push(Basket {
                key,
                items: Vec::new(),
            });
            baskets.len() - 1
        });
        baskets[place].items.push(item);
    }
    if baskets.is_empty() {
        return Err(rows.refuse("there is no row below the headings"));
    }
    Ok(baskets)
}

/// Reads the names of products: the type, or the category where there is none.
pub(crate) fn products(file: &str, source: impl Read) -> Result<Products, FileError> {
    let mut rows = Rows::open(file, source)?;
    let [id, category, kind] = rows.columns(["product_id", "product_category", "product_type"])?;
    let mut products = Products::new();
    while let Some(row) = rows.next()? {
        let name = [kind, category]
            .map(|column| row.maybe(column))
            .into_iter()
            .find(|name| !name.is_empty());
        if let Some(name) = name {
            products.insert(row.text(id)?.to_owned(), name.to_owned());
        }
    }
    Ok(products)
}

struct Rows<S> {
    file: String,
    headings: StringRecord,
    reader: csv::Reader<S>,
    record: StringRecord,
}

impl<S: Read> Rows<S> {
    fn open(file: &str, source: S) -> Result<Self, FileError> {
        let mut reader = csv::Reader::from_reader(source);
        let headings = reader
            .headers()
            .map_err(|error| unreadable(file, None, &error))?
            .clone();
        Ok(Self {
            file: file.to_owned(),
            headings,
            reader,
            record: StringRecord::new(),
        })
    }

    fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N], FileError> {
        let mut columns = [0; N];
        for (column, name) in columns.iter_mut().zip(names) {
            let found = self
                .headings
                .iter()
                .position(|heading| heading.trim() == name);
            *column = found.ok_or_else(|| {
                let headings: Vec<&str> = self.headings.iter().collect();
                let problem = format!(
                    "there is no column {name:?}; it has {}",
                    headings.join(", ")
                );
                FileError {
                    line: Some(1),
                    ..self.refuse(&problem)
                }
            })?;
        }
        Ok(columns)
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, FileError> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Row {
                file: &self.file,
                headings: &self.headings,
                record: &self.record,
            })),
            Err(error) => Err(unreadable(&self.file, Some(&self.headings), &error)),
        }
    }

    fn refuse(&self, problem: &str) -> FileError {
        FileError {
            file: self.file.clone(),
            line: None,
            column: None,
            problem: problem.to_owned(),
        }
    }
}

struct Row<'a> {
    file: &'a str,
    headings: &'a StringRecord,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    fn maybe(&self, column: usize) -> &'a str {
        self.record.get(column).unwrap_or_default().trim()
    }

    fn text(&self, column: usize) -> Result<&'a str, FileError> {
        let text = self.maybe(column);
        if text.is_empty() {
            Err(self.refuse(column, "it is empty".to_owned()))
        } else {
            Ok(text)
        }
    }

    fn parsed<T: std::str::FromStr>(&self, column: usize, what: &str) -> Result<T, FileError> {
        let text = self.text(column)?;
        text.parse()
            .map_err(|_| self.refuse(column, format!("{text:?} is not {what}")))
    }

    fn amount(&self, column: usize) -> Result<f64, FileError> {
        let amount: f64 = self.parsed(column, "an amount of money")?;
        if amount.is_finite() {
            return Ok(amount);
        }
        Err(self.refuse(column, format!("{amount} is not an amount of money")))
    }

    fn refuse(&self, column: usize, problem: String) -> FileError {
        FileError {
            file: self.file.to_owned(),
            line: self.record.position().map(Position::line),
            column: Some((
                column + 1,
                self.headings.get(column).unwrap_or_default().to_owned(),
            )),
            problem,
        }
    }
}

fn unreadable(file: &str, headings: Option<&StringRecord>, error: &csv::Error) -> FileError {
    let name = |column: usize| {
        let heading = headings
            .and_then(|headings| headings.get(column))
            .unwrap_or("beyond the headings");
        Some((column + 1, heading.to_owned()))
    };
    let (column, problem) = match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            let last = usize::try_from((*len).min(*expected_len)).unwrap_or(usize::MAX);
            (
                name(last),
                format!("the row has {len} fields, the headings are {expected_len}"),
            )
        }
        ErrorKind::Utf8 { err, .. } => (name(err.field()), "it is not UTF-8".to_owned()),
        ErrorKind::Io(error) => (None, read_problem(error)),
        _ => (None, error.to_string()),
    };
    let line = error.position().map(Position::line);
    FileError {
        file: file.to_owned(),
        line,
        column,
        problem,
    }
}

fn read_problem(error: &io::Error) -> String {
    format!("it can't be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str =
        "timestamp,household_id,basket_id,store_id,product_id,quantity,sales_value\n";

    fn read(rows: &str) -> Result<Vec<Basket>, FileError> {
        let products = Products::from([("p1".to_owned(), "JUICE".to_owned())]);
        baskets("t.csv", format!("{HEADINGS}{rows}").as_bytes(), &products)
    }

    #[test]
    fn rows_become_carts_in_the_order_of_the_file() {
        let found =
            read("t,h1,b1,s,p1,1,3.49\nt,h2,b2,s,p2,0,0\nt,h1,b1,s,p3,2,1\n").expect("rows");
        let keys: Vec<&str> = found.iter().map(|basket| basket.key.as_str()).collect();
        assert_eq!(keys, ["h1-b1", "h2-b2"]);
        let lines: Vec<u64> = found[0].items.iter().map(|item| item.line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(found[0].items[0].name.as_deref(), Some("JUICE"));
        assert_eq!(found[1].items[0].quantity, 0);
    }

    #[test]
    fn a_malformed_row_is_named_by_line_and_column() {
        let check = |rows: &str, part: &str| {
            let message = read(rows).expect_err("malformed").to_string();
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        };
        check("", "no row");
        check(
            "t,h,b,s,p,1,1\nt,h,b,s,p,x,1\n",
            "t.csv, line 3, column 6 (quantity): \"x\"",
        );
        check("t,h,b,s,p,-1,1\n", "line 2, column 6 (quantity)");
        check("t,h,b,s,p,1,NaN\n", "line 2, column 7 (sales_value)");
        check(
            "t,h,,s,p,1,1\n",
            "line 2, column 3 (basket_id): it is empty",
        );
        check(
            "t,h,b\n",
            "line 2, column 4 (store_id): the row has 3 fields",
        );
        check(
            "t,h,b,s,p,1,1,9\n",
            "line 2, column 8 (beyond the headings)",
        );
    }

    #[test]
    fn missing_headings_and_bytes_that_are_no_text_are_refused() {
        let products = Products::new();
        let error = baskets("t.csv", "a,b\n1,2\n".as_bytes(), &products).expect_err("headings");
        assert!(
            error
                .to_string()
                .contains("line 1: there is no column \"timestamp\""),
            "{error}"
        );
        let mut bytes = HEADINGS.as_bytes().to_vec();
        bytes.extend_from_slice(b"t,h,b,s,\xff,1,1\n");
        let error = baskets("t.csv", bytes.as_slice(), &products).expect_err("not UTF-8");
        assert!(
            error.to_string().contains("line 2, column 5 (product_id)"),
            "{error}"
        );
    }

    #[test]
    fn products_are_named_by_type_or_category() {
        let text = "product_id,product_category,product_type\n1,C,T\n2,C,\n3,,\n";
        let found = products("p.csv", text.as_bytes()).expect("products");
        assert_eq!(found.get("1").map(String::as_str), Some("T"));
        assert_eq!(found.get("2").map(String::as_str), Some("C"));
        assert_eq!(found.get("3"), None);
    }
}
