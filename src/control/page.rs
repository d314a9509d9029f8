//! Which page is rendered from what.

use std::time::Duration;

use crate::obs::{Aside, BudgetFigures, Form, Registry, TokenFigures};
use crate::shard::Page;

use super::ready::Readiness;

/// Everything that pages are made from.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The shards' cells.
    pub registry: Registry,
    /// What readiness depends on.
    pub readiness: Readiness,
    /// By the index of the configuration's service accounts.
    pub tokens: Vec<TokenFigures>,
    /// By key and period.
    pub budgets: Vec<BudgetFigures>,
}

impl Pages {
    /// The status and the body of `page`.
    pub fn render(&self, page: Page, uptime: Duration) -> (u16, Vec<u8>) {
        match page {
            Page::Metrics => (200, self.registry.render_json(uptime).into_bytes()),
            Page::Prometheus => self.prometheus(Form::Classic, uptime),
            Page::OpenMetrics => self.prometheus(Form::Open, uptime),
            Page::Ready => {
                self.readiness.render(&self.tokens, |upstream| self.registry.circuit(upstream))
            }
        }
    }

    fn prometheus(&self, form: Form, uptime: Duration) -> (u16, Vec<u8>) {
        let aside = Aside { tokens: &self.tokens, budgets: &self.budgets };
        (200, self.registry.render_prometheus(form, uptime, aside).into_bytes())
    }
}
