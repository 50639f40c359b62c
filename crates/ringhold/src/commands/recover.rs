//! `cluster recover`: going on without members that are lost for good, where no majority is left.
//!
//! It always shows first what it comes to. What it would do is done only if it is called by its name (`--unsafe`) and agreed to
//! (`--yes`); otherwise nothing is, and the exit code says so (2).

use serde_json::{Value, json};

use super::ring_orders::order;
use super::view::cell;
use crate::cli::NodeArgs;
use crate::output::{Exit, Failure, Format, print, print_json, say};

/// What an operator has said to it.
#[derive(Clone, Copy)]
pub(super) struct Insistence {
    pub(super) r#unsafe: bool,
    pub(super) yes: bool,
}

pub(super) async fn run(
    node: &NodeArgs,
    give_up: Vec<String>,
    insistence: Insistence,
    format: Format,
) -> Result<(), Failure> {
    let named = (!give_up.is_empty()).then_some(give_up);
    let asked = json!({ "give_up": named });
    let plan = order(node, "recovery-plan", Some(&asked)).await?;
    if let Some(why) = plan["refused"].as_str() {
        return Err(Failure {
            exit: Exit::Failed,
            message: format!("nothing to recover: {why}"),
        });
    }
    let missing = match (insistence.r#unsafe, insistence.yes) {
        (true, true) => {
            say(shown(&plan));
            return carry_out(node, &plan, format).await;
        }
        (true, false) => "--yes",
        (false, true) => "--unsafe",
        (false, false) => "--unsafe --yes",
    };
    match format {
        Format::Table => print(shown(&plan))?,
        Format::Json => print_json(&plan)?,
    }
    let names = names(&plan["give_up"]);
    let given_up: String = names
        .iter()
        .map(|name| format!(" --give-up {name}"))
        .collect();
    Err(Failure::usage(format!(
        "nothing was done. If {} will never come back, and that loss is the smaller one, add {missing}: \
         ringhold cluster recover --unsafe --yes{given_up} --at {}",
        names.join(", "),
        node.at
    )))
}

/// Just what was shown.
async fn carry_out(node: &NodeArgs, plan: &Value, format: Format) -> Result<(), Failure> {
    let order_body = json!({ "give_up": plan["give_up"], "unsafe": true });
    let recovered = order(node, "recover", Some(&order_body)).await?;
    match format {
        Format::Table => print(format!(
            "generation {} has begun (epoch {}); {} given up. `ringhold cluster transfers` shows how far replicas are made \
             whole again\n",
            cell(&recovered["generation"]),
            cell(&recovered["epoch"]),
            match names(&plan["give_up"]).as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        )),
        Format::Json => print_json(&recovered),
    }
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(cell).collect()
}

fn shown(plan: &Value) -> String {
    let (given_up, survivors) = (names(&plan["give_up"]), names(&plan["survivors"]));
    let count = |name: &str| plan[name].as_u64().unwrap_or(0);
    let mut text = format!(
        "given up for good: {}\nthe cluster goes on with: {} (each of them has to agree)\n\
         generation {} begins; whoever was given up and comes back is refused and ends\n\n\
         what may be lost:\n  \
         every write that only the given-up members have, acknowledged ones included\n  \
         if they live and can reach each other, they go on too, until they meet the others: what they acknowledge until \
         then is lost as well\n",
        given_up.join(", "),
        survivors.join(", "),
        count("generation_after"),
    );
    let partitions = count("partitions");
    text += &format!(
        "{} of {partitions} partitions have fewer replicas until they are copied again\n",
        count("partitions_with_fewer_replicas")
    );
    text += &match count("partitions_without_a_living_home") {
        0 => "each partition has a living home\n".to_owned(),
        homeless => {
            let listed = names(&plan["without_a_living_home"]).join(" ");
            format!(
                "{homeless} of {partitions} partitions HAVE NO LIVING HOME and begin empty, but for what others keep for them: {listed}\n"
            )
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_lost_is_shown() {
        let plan = json!({
            "give_up": ["node2", "node3"], "survivors": ["node1"], "generation_after": 1, "partitions": 256,
            "partitions_with_fewer_replicas": 250, "partitions_without_a_living_home": 2, "without_a_living_home": [7, 8],
        });
        let text = shown(&plan);
        for part in [
            "given up for good: node2, node3",
            "250 of 256 partitions have fewer replicas",
            "2 of 256 partitions HAVE NO LIVING HOME and begin empty, but for what others keep for them: 7 8",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
