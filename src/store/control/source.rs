//! What steers the calls to one source of prices, for all gateways together.

use crate::domain::{ChannelTerms, carrier::SourceId};

use super::{
    super::{Store, StoreError},
    ChannelControl, Permit, Report, Reported,
};

impl Store {
    /// Asks for one call to a source of prices. It is paused by nobody.
    pub async fn permit_source(&self, source: &SourceId, terms: &ChannelTerms) -> Result<Permit, StoreError> {
        self.permit_by(&self.inner.keys.source_control(source), terms, 1).await
    }

    /// Tells how a call to a source of prices went.
    pub async fn report_source(
        &self,
        source: &SourceId,
        terms: &ChannelTerms,
        report: &Report,
    ) -> Result<Reported, StoreError> {
        self.report_by(&self.inner.keys.source_control(source), terms, report).await
    }

    /// What steers the calls to a source of prices now. It has no pause and exposes no units.
    pub async fn source_control(&self, source: &SourceId) -> Result<ChannelControl, StoreError> {
        self.control_by(&self.inner.keys.source_control(source)).await
    }
}
