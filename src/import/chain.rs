//! Routes: the deployments of a name, and what is asked when none of them answers.

use super::model::{Deployment, Share};
use super::note::Notes;
use super::settings::{Chain, Settings};
use super::shares::{gcd, weights};
use super::upstreams::Upstreams;

/// A route of our configuration.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) pattern: String,
    pub(super) targets: Vec<Target>,
    pub(super) fallbacks: Vec<Target>,
    pub(super) by_latency: bool,
    /// What of the other configuration it was made of.
    pub(super) from: String,
}

/// A model of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) upstream: String,
    /// `None`: what the client said.
    pub(super) model: Option<String>,
    pub(super) weight: u64,
}

impl Target {
    /// Do both ask the same?
    fn is_like(&self, other: &Self) -> bool {
        (&self.upstream, &self.model) == (&other.upstream, &other.model)
    }
}

/// A name of `model_list` with all its deployments.
struct Group {
    name: String,
    line: usize,
    path: String,
    targets: Vec<Target>,
    /// Those of a higher order, and those without a share.
    later: Vec<Target>,
}

/// All routes, in the order of the list; then other names of the same.
pub(super) fn routes(
    deployments: &[Deployment],
    upstreams: &Upstreams,
    settings: &Settings,
    notes: &mut Notes,
) -> Vec<Route> {
    let groups = groups(deployments, upstreams);
    let book = Book { groups: &groups, settings };
    let mut routes: Vec<Route> = Vec::new();
    for group in &groups {
        let from = format!("{}, line {}", group.path, group.line);
        routes.push(book.route(&group.name, group, from));
    }
    book.single_out(&mut routes);
    for alias in &settings.aliases {
        let group = alias.to.first().and_then(|name| groups.iter().find(|g| g.name == *name));
        match group {
            Some(_) if groups.iter().any(|group| group.name == alias.from) => {
                notes.at(alias.line, &alias.path, "a model of the list has that name");
            }
            Some(group) => {
                let from = format!("{}, line {}", alias.path, alias.line);
                routes.push(book.route(&alias.from, group, from));
            }
            None => notes.at(alias.line, &alias.path, "leads to no model that was carried over"),
        }
    }
    book.tell(notes);
    routes
}

fn groups(deployments: &[Deployment], upstreams: &Upstreams) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for first in deployments {
        if groups.iter().any(|group| group.name == first.group) {
            continue;
        }
        let all = || deployments.iter().filter(|deployment| deployment.group == first.group);
        let order = all().map(|deployment| deployment.order).min().unwrap_or(u64::MAX);
        let (now, mut after): (Vec<_>, Vec<_>) = all().partition(|d| d.order == order);
        after.sort_by_key(|deployment| deployment.order);
        let shares: Vec<Share> = now.iter().map(|deployment| deployment.share).collect();
        let (mut targets, mut later) = (Vec::new(), Vec::new());
        for (deployment, weight) in now.into_iter().zip(weights(&shares)) {
            let Some(target) = target(deployment, weight.max(1), upstreams) else { continue };
            add(if weight == 0 { &mut later } else { &mut targets }, target);
        }
        for deployment in after {
            target(deployment, 1, upstreams).into_iter().for_each(|target| add(&mut later, target));
        }
        even_out(&mut targets);
        let Deployment { group, line, path, .. } = first;
        let (name, path) = (group.clone(), path.clone());
        groups.push(Group { name, line: *line, path, targets, later });
    }
    groups
}

/// Smallest whole numbers with the same proportions.
fn even_out(targets: &mut [Target]) {
    let divisor = targets.iter().map(|target| target.weight).fold(0, gcd).max(1);
    for target in targets {
        target.weight /= divisor;
    }
}

fn target(deployment: &Deployment, weight: u64, upstreams: &Upstreams) -> Option<Target> {
    let upstream = upstreams.find(&deployment.connection)?.name.clone();
    let family = deployment.model.ends_with('*');
    let model = (!family).then(|| deployment.model.clone());
    Some(Target { upstream, model, weight })
}

/// Two deployments that ask the same are one target with both shares.
fn add(targets: &mut Vec<Target>, target: Target) {
    match targets.iter_mut().find(|known| known.is_like(&target)) {
        Some(known) => known.weight = known.weight.saturating_add(target.weight),
        None => targets.push(target),
    }
}

/// All that is known of who takes whose place.
struct Book<'b> {
    groups: &'b [Group],
    settings: &'b Settings,
}

impl Book<'_> {
    fn route(&self, pattern: &str, group: &Group, from: String) -> Route {
        let mut route = Route {
            pattern: pattern.to_owned(),
            targets: group.targets.clone(),
            fallbacks: Vec::new(),
            by_latency: self.settings.by_latency && group.targets.len() > 1,
            from,
        };
        for target in &group.later {
            route.add_fallback(target);
        }
        self.follow(&group.name, &mut vec![group.name.clone()], &mut route);
        route
    }

    /// A name of a family that has fallbacks of its own gets a route of its own.
    fn single_out(&self, routes: &mut Vec<Route>) {
        for chain in self.settings.fallbacks.iter().chain(&self.settings.longer) {
            if routes.iter().any(|route| route.pattern == chain.from) {
                continue;
            }
            let Some(targets) = self.candidates(&chain.from) else { continue };
            let (name, path) = (chain.from.clone(), chain.path.clone());
            let group = Group { name, line: chain.line, path, targets, later: Vec::new() };
            let from = format!("{}, line {}", chain.path, chain.line);
            routes.push(self.route(&chain.from, &group, from));
        }
    }

    /// Adds what is asked after `name`, and after each of those what is asked after it.
    fn follow(&self, name: &str, seen: &mut Vec<String>, route: &mut Route) {
        for chain in self.chains_of(name) {
            for next in &chain.to {
                if seen.contains(next) {
                    continue;
                }
                seen.push(next.clone());
                for target in self.candidates(next).unwrap_or_default() {
                    route.add_fallback(&target);
                }
                self.follow(next, seen, route);
            }
        }
    }

    fn chains_of(&self, name: &str) -> impl Iterator<Item = &Chain> {
        let Settings { fallbacks, longer, defaults, .. } = self.settings;
        let own = |chain: &&Chain| chain.from == name;
        // `*` is another word for the default.
        let any = fallbacks.iter().filter(|chain| chain.from == "*").chain(defaults);
        let has_own = fallbacks.iter().any(|chain| own(&chain));
        let default = any.filter(move |_| !has_own);
        fallbacks
            .iter()
            .filter(move |c| c.from == name)
            .chain(default)
            .chain(longer.iter().filter(move |c| c.from == name))
    }

    /// What `name` leads to: a name of the list, or one of a family of names in it.
    fn candidates(&self, name: &str) -> Option<Vec<Target>> {
        let all = |group: &Group| group.targets.iter().chain(&group.later).cloned().collect();
        if let Some(group) = self.groups.iter().find(|group| group.name == name) {
            return Some(all(group));
        }
        let families = self.groups.iter().filter_map(|group| {
            let prefix = group.name.strip_suffix('*')?;
            Some((prefix, name.strip_prefix(prefix)?, group))
        });
        let (_, rest, group) = families.max_by_key(|(prefix, ..)| prefix.len())?;
        let mut targets: Vec<Target> = all(group);
        for target in &mut targets {
            target.model.get_or_insert_with(|| rest.to_owned());
        }
        Some(targets)
    }

    /// Names chains that lead from or to nothing, and what is more than it was.
    fn tell(&self, notes: &mut Notes) {
        let Settings { fallbacks, longer, defaults, .. } = self.settings;
        for chain in fallbacks.iter().chain(longer).chain(defaults) {
            let any = chain.from.is_empty() || chain.from == "*";
            if !any && self.candidates(&chain.from).is_none() {
                let why = format!("{} is no model that was carried over", chain.from);
                notes.at(chain.line, &chain.path, why);
                continue;
            }
            for next in chain.to.iter().filter(|next| self.candidates(next).is_none()) {
                let why = format!("{next} is no model that was carried over");
                notes.at(chain.line, &chain.path, why);
            }
        }
        for chain in longer.iter().filter(|chain| self.candidates(&chain.from).is_some()) {
            let why = "they are asked after every failure that another model may not have, not \
                       only after prompts that are too long";
            notes.at(chain.line, &chain.path, why);
        }
    }
}

impl Route {
    fn add_fallback(&mut self, target: &Target) {
        let known = self.targets.iter().chain(&self.fallbacks).any(|known| known.is_like(target));
        if !known {
            self.fallbacks.push(Target { weight: 1, ..target.clone() });
        }
    }
}
