//! What a run will be, drawn from its seed before it begins.
//!
//! Swarm testing (Groce et al., 2012): each seed switches whole classes of faults and operations off. A run
//! with everything on drowns most bugs in noise, or never gets far enough to meet them; a run with three
//! classes on goes deep, and over a few hundred seeds all combinations of a few classes turn up.
//!
//! The budget rule: no run destroys as many copies of a key as a put asks acknowledgements for, unless the
//! put asks for one only. What is then lost was never promised.

mod profile;

use crate::random::Random;
use crate::workload::Workload;
use ringhold_node::properties::Durability;
use std::collections::BTreeSet;
use std::fmt;

pub use profile::{FaultClass, OperationClass, Profile, UnknownClass, UnknownProfile};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    pub faults: BTreeSet<FaultClass>,
    pub operations: BTreeSet<OperationClass>,
    /// Machines, those of nodes that may join later included.
    pub nodes: usize,
    /// The only node whose disk may be lost.
    pub victim: usize,
    /// Operators act at the same moments, and all the time.
    pub rush: bool,
    /// Operators change how many replicas buckets have, too.
    pub replicates: bool,
    /// Somebody creates and changes bucket types.
    pub types: bool,
    /// That node dies for good at some time, and operators remove or replace it.
    pub victim_dies: bool,
    /// Every other node is started with the release before, and stays so until it is started again in the second half.
    pub mixed_releases: bool,
    /// So many voters die for good at some time that the others are no majority, and operators have those go on.
    pub majority_dies: bool,
    /// So many of them are no members at first. If there are any, operators change the cluster all the time.
    pub spares: usize,
    pub replicas: u32,
    pub partitions: u32,
    pub writer_groups: usize,
    /// A checkpoint is due with every so many bytes of log.
    pub segment_bytes: u64,
    pub epoch_lease: u64,
    pub clients: usize,
    pub keys: usize,
    /// How long clients work, in microseconds of the run.
    pub load_us: u64,
    /// Between two operations of a client, about.
    pub think_us: u64,
    /// From one fault to the next, about.
    pub calm_us: u64,
    pub last_write_wins: bool,
    pub durability: Durability,
    /// Requests refuse fallbacks.
    pub primaries_only: bool,
    /// Gets are answered once enough replicas hold what they say.
    pub blocking_repair: bool,
    /// Replicas compare what they have, and stores what they have with their sums.
    pub anti_entropy: bool,
    /// Clients' requests are always too slow for background work to have more than its least share.
    pub pressed: bool,
    /// Tombstones go once they are old enough and nothing stands in the way.
    pub reaping: bool,
    /// Some values are written with an end.
    pub expiry: bool,
    /// The nodes whose clocks may be far off, less than half of them. None if any clock may be, and nodes believe theirs.
    pub astray: Option<BTreeSet<usize>>,
    /// At the very end only as many nodes live as a put needs.
    pub liveness: bool,
    /// Somebody repairs in the middle of it all, and when everything has healed.
    pub administrator: bool,
}

/// Of buckets that are not buffered, some have one replica flush.
fn durability(buffered: bool, seed: u64) -> Durability {
    match buffered {
        true => Durability::Buffered,
        false if Random::of(seed, "one flushes").chance(350_000) => Durability::One,
        false => Durability::Flushed,
    }
}

/// What clients do: something with values at least, and sometimes something with data types.
fn operations(seed: u64, random: &mut Random) -> BTreeSet<OperationClass> {
    let of_values: Vec<OperationClass> = OperationClass::ALL
        .iter()
        .copied()
        .filter(|class| !Workload::is_for_types(*class))
        .collect();
    let mut operations = some_of(&of_values, random);
    if Random::of(seed, "data types").chance(300_000) {
        operations.insert(OperationClass::DataTypes);
    }
    if Random::of(seed, "growing types").chance(150_000) {
        operations.insert(OperationClass::GrowingTypes);
    }
    let values = || Workload::ALL.iter().map(|workload| workload.class());
    if !values().any(|class| operations.contains(&class)) {
        operations.insert(random.pick(&Workload::ALL).class());
    }
    operations
}

impl Plan {
    #[must_use]
    pub fn draw(seed: u64, profile: Profile) -> Self {
        let mut random = Random::of(seed, "plan");
        let faults = some_of(&profile.faults(), &mut random);
        let mut operations = operations(seed, &mut random);
        let mut faults = faults;
        if profile == Profile::Handoff {
            operations.insert(OperationClass::Quorums);
        }
        if profile == Profile::Rebuild {
            faults.insert(FaultClass::Wipe);
            // Whoever lacks keys must not judge by what it has.
            if random.chance(300_000) {
                operations.insert(OperationClass::Conditional);
            }
        }
        let replicas = *random.pick(&[3, 3, 3, 2]);
        // Without a fallback there is no handoff.
        let has_fallback = matches!(profile, Profile::Handoff | Profile::Reaping);
        let fewest = u64::from(replicas) + u64::from(has_fallback);
        let clients = random.between(2, 8);
        let think_us = *random.pick(&[5_000, 20_000, 60_000]);
        let actions = *random.pick(&[300, 1_000, 3_000]);
        let nodes = usize::try_from(random.between(fewest, 6)).expect("a handful");
        if profile == Profile::Membership && Random::of(seed, "peace").chance(250_000) {
            faults
                .retain(|fault| matches!(fault, FaultClass::Duplication | FaultClass::Reordering));
        }
        let spares = match profile {
            Profile::Membership => usize::try_from(random.between(1, 2)).expect("a handful"),
            _ => 0,
        };
        if spares > 0 {
            // What is at home where changes under them.
            operations.remove(&OperationClass::Conditional);
        }
        let plan = Self {
            seed,
            profile,
            nodes: nodes + spares,
            victim: Random::of(seed, "victim").index(nodes),
            victim_dies: spares > 0 && Random::of(seed, "death").chance(350_000),
            mixed_releases: Random::of(seed, "releases").chance(300_000),
            majority_dies: spares > 0 && Random::of(seed, "catastrophe").chance(200_000),
            spares,
            rush: Random::of(seed, "rush").chance(300_000),
            replicates: spares > 0 && Random::of(seed, "replicates").chance(500_000),
            types: spares > 0 && Random::of(seed, "types").chance(500_000),
            replicas,
            partitions: *random.pick(&[16, 32, 64]),
            writer_groups: *random.pick(&[1, 2, 3]),
            segment_bytes: *random.pick(&[4 << 10, 16 << 10, 64 << 10, 1 << 20]),
            epoch_lease: *random.pick(&[1, 4, 32, 1_000]),
            clients: usize::try_from(clients).expect("a handful"),
            keys: *random.pick(&[1, 2, 4, 10, 30]),
            load_us: (actions * think_us / clients).clamp(4_000_000, 40_000_000),
            think_us,
            calm_us: *random.pick(&[150_000, 500_000, 2_000_000]),
            last_write_wins: random.chance(120_000),
            durability: durability(random.chance(250_000), seed),
            primaries_only: match profile {
                Profile::Handoff => false,
                // What a sloppy quorum misses proves nothing.
                Profile::Rebuild => true,
                // Nor what is read where homes change in between.
                Profile::Membership => false,
                _ => random.chance(300_000),
            },
            // Without it, reads and hints have to heal, and what a store has forgotten stays so for longer.
            anti_entropy: random.chance(650_000)
                && !matches!(
                    profile,
                    Profile::Copies | Profile::Handoff | Profile::Rebuild
                ),
            liveness: random.chance(200_000) && profile != Profile::Membership,
            pressed: random.chance(300_000),
            blocking_repair: random.chance(300_000),
            reaping: false,
            expiry: false,
            administrator: random.chance(300_000),
            astray: astray(nodes, &mut Random::of(seed, "clocks")),
            faults,
            operations,
        };
        plan.with_reaping(&mut Random::of(seed, "reaping"))
    }

    /// Reaping for some plans, drawn from a source of its own. What it cannot stand goes: a disk that is put back from
    /// before the grace brings back what it holds, and where clocks jump nobody can say how old something is.
    fn with_reaping(mut self, random: &mut Random) -> Self {
        let is_about_it = self.profile == Profile::Reaping;
        self.reaping = is_about_it || (self.profile == Profile::All && random.chance(200_000));
        if !self.reaping {
            return self;
        }
        let excluded = [
            FaultClass::RollBack,
            FaultClass::Clone,
            FaultClass::Swap,
            FaultClass::Jump,
            FaultClass::StoppedClock,
        ];
        self.faults.retain(|fault| !excluded.contains(fault));
        self.astray = None;
        self.expiry = random.chance(400_000);
        if is_about_it {
            self.operations.insert(OperationClass::Deletes);
            self.anti_entropy = random.chance(800_000);
            self.keys = *random.pick(&[3, 6, 12]);
            self.load_us = random.between(130_000_000, 200_000_000);
            self.think_us = *random.pick(&[100_000, 300_000]);
            self.calm_us = *random.pick(&[1_000_000, 3_000_000, 8_000_000]);
        }
        self
    }

    #[must_use]
    pub fn has(&self, fault: FaultClass) -> bool {
        self.faults.contains(&fault)
    }

    #[must_use]
    pub fn does(&self, operation: OperationClass) -> bool {
        self.operations.contains(&operation)
    }

    /// The workloads that are on.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload> {
        let on = Workload::ALL
            .into_iter()
            .filter(|workload| self.does(workload.class()));
        if self.last_write_wins {
            // Sets and carts make no sense where one write wins.
            return vec![Workload::Register, Workload::Blind, Workload::Deletes];
        }
        let typed = Workload::TYPED.into_iter().filter(|workload| {
            let deletes = *workload == Workload::TypedDeletes;
            // What a delete had seen is known from the versions; reaping forgets them, and a lost majority takes them along.
            let is_known = !(self.reaping || self.majority_dies);
            self.does(workload.class()) && (is_known || !deletes)
        });
        typed.chain(on).collect()
    }

    /// Whether all that is sent arrives, and nobody falls.
    #[must_use]
    pub fn loses_nothing(&self) -> bool {
        let harmless = [FaultClass::Duplication, FaultClass::Reordering];
        let nobody_dies = !self.victim_dies && !self.majority_dies;
        self.faults.iter().all(|fault| harmless.contains(fault)) && nobody_dies
    }

    /// The members at first.
    #[must_use]
    pub fn founders(&self) -> usize {
        self.nodes - self.spares
    }

    /// As many replicas a key has at least, at any time.
    #[must_use]
    pub fn replicas_at_least(&self) -> u32 {
        if self.replicates {
            REPLICAS_CHOSEN[0]
        } else {
            self.replicas
        }
    }

    /// Whether a node is of the release before at first.
    #[must_use]
    pub fn runs_release_before(&self, node: usize) -> bool {
        self.mixed_releases && node % 2 == 1
    }

    /// Acknowledgements that a put waits for unless it says otherwise.
    #[must_use]
    pub fn quorum(&self) -> u32 {
        self.replicas / 2 + 1
    }
}

/// What operators choose from where they change how many replicas a bucket has, the least first.
pub const REPLICAS_CHOSEN: [u32; 4] = [2, 3, 4, 5];

/// Between two nodes nobody can tell who is right.
fn astray(nodes: usize, random: &mut Random) -> Option<BTreeSet<usize>> {
    if nodes == 2 || random.chance(250_000) {
        return None;
    }
    let most = (nodes - 1) / 2;
    Some((0..most).map(|_| random.index(nodes)).collect())
}

/// Each class with a chance that the seed draws for all; one seed in six has them all.
fn some_of<T: Copy + Ord>(classes: &[T], random: &mut Random) -> BTreeSet<T> {
    let share = *random.pick(&[150_000, 300_000, 500_000, 500_000, 700_000, 1_000_000]);
    classes
        .iter()
        .copied()
        .filter(|_| random.chance(share))
        .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<String>| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(" ")
            }
        };
        let Self {
            seed,
            profile,
            nodes,
            replicas,
            clients,
            keys,
            ..
        } = self;
        writeln!(
            f,
            "seed {seed}, profile {profile}: {nodes} nodes, N = {replicas}, {clients} clients, {keys} keys, {} s",
            self.load_us / 1_000_000
        )?;
        writeln!(
            f,
            "  {} partitions, {} writer groups, {} bytes a log segment, epochs leased by {}{}{}{}{}{}{}",
            self.partitions,
            self.writer_groups,
            self.segment_bytes,
            self.epoch_lease,
            if self.last_write_wins {
                ", last write wins"
            } else {
                ""
            },
            match self.durability {
                Durability::Flushed => "",
                Durability::One => ", one flushes",
                Durability::Buffered => ", buffered",
            },
            if self.primaries_only {
                ", primaries only"
            } else {
                ""
            },
            if self.anti_entropy {
                ", anti-entropy"
            } else {
                ""
            },
            if self.pressed { ", pressed" } else { "" },
            if self.administrator { ", repairs" } else { "" },
        )?;
        if self.spares > 0 {
            let dies = if self.victim_dies {
                format!(", n{} dies for good", self.victim)
            } else {
                String::new()
            };
            let most = if self.majority_dies {
                ", a majority dies for good"
            } else {
                ""
            };
            writeln!(f, "  {} of the nodes may join{dies}{most}", self.spares)?;
        }
        if self.mixed_releases {
            writeln!(
                f,
                "  every other node is of the release before, until it is started again"
            )?;
        }
        if self.blocking_repair {
            writeln!(f, "  reads repair before they are answered")?;
        }
        if self.reaping {
            let ends = if self.expiry {
                ", and values with an end"
            } else {
                ""
            };
            writeln!(f, "  tombstones are reaped{ends}")?;
        }
        writeln!(
            f,
            "  faults: {}",
            list(self.faults.iter().map(ToString::to_string).collect())
        )?;
        write!(
            f,
            "  operations: {}",
            list(self.operations.iter().map(ToString::to_string).collect())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_repeat() {
        assert_eq!(Plan::draw(3, Profile::All), Plan::draw(3, Profile::All));
        let plans: Vec<Plan> = (0..200)
            .map(|seed| Plan::draw(seed, Profile::All))
            .collect();
        for &fault in FaultClass::ALL {
            let on = plans.iter().filter(|plan| plan.has(fault)).count();
            assert!((40..160).contains(&on), "{fault} is on in {on} of 200 runs");
        }
        assert!(
            plans
                .iter()
                .all(|plan| !plan.workloads().is_empty() && plan.nodes >= 2)
        );
    }

    #[test]
    fn names_read_back() {
        for &fault in FaultClass::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for &operation in OperationClass::ALL {
            assert_eq!(operation.to_string().parse(), Ok(operation));
        }
    }
}
