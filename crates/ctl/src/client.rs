//! The connection to the admin API, and lists read page by page.

use std::time::Duration;

use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_client::AdminClient;
use tonic::transport::{Channel, Endpoint};

use crate::error::{CliError, deepest};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest wait for an answer: longer than the server's own limit, so that its word is heard.
const CALL_MAX: Duration = Duration::from_secs(15);

/// A connected client that turns every failure into a sentence.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    admin: String,
    inner: AdminClient<Channel>,
}

impl Client {
    /// Connects, so that a wrong address is told apart from a refused command.
    pub(crate) async fn connect(admin: &str) -> Result<Client, CliError> {
        let address = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
        let wrong = || CliError::Admin { value: admin.to_owned() };
        let has_port = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            return Err(wrong());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
        let endpoint = endpoint.connect_timeout(CONNECT_MAX).timeout(CALL_MAX).tcp_nodelay(true);
        match endpoint.connect().await {
            Ok(channel) => Ok(Client { admin: admin.to_owned(), inner: AdminClient::new(channel) }),
            Err(cause) => Err(CliError::Unreachable { admin: admin.to_owned(), reason: deepest(&cause) }),
        }
    }

    fn fail(&self) -> impl Fn(tonic::Status) -> CliError + '_ {
        |status| CliError::from_status(&self.admin, &status)
    }

    pub(crate) async fn create_app(&self, request: wire::CreateAppRequest) -> Result<wire::CreateAppResponse, CliError> {
        self.inner.clone().create_app(request).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn delete_app(&self, name: String) -> Result<wire::DeleteAppResponse, CliError> {
        let request = wire::DeleteAppRequest { name, ..Default::default() };
        self.inner.clone().delete_app(request).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn add_dyno(&self, request: wire::AddDynoRequest) -> Result<wire::AddDynoResponse, CliError> {
        self.inner.clone().add_dyno(request).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn drain_dyno(&self, id: String) -> Result<wire::DrainDynoResponse, CliError> {
        let request = wire::DrainDynoRequest { id, ..Default::default() };
        self.inner.clone().drain_dyno(request).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn remove_dyno(&self, id: String) -> Result<wire::RemoveDynoResponse, CliError> {
        let request = wire::RemoveDynoRequest { id, ..Default::default() };
        self.inner.clone().remove_dyno(request).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn status(&self) -> Result<wire::GetStatusResponse, CliError> {
        self.inner.clone().get_status(wire::GetStatusRequest {}).await.map(tonic::Response::into_inner).map_err(self.fail())
    }

    pub(crate) async fn apps(&self) -> Result<Vec<wire::App>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = wire::ListAppsRequest { page_size: 0, page_token };
            let page = self.inner.clone().list_apps(request).await.map_err(self.fail())?.into_inner();
            all.extend(page.apps);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Dynos that pass `filter`, whose paging fields are ignored.
    pub(crate) async fn dynos(&self, filter: wire::ListDynosRequest) -> Result<Vec<wire::Dyno>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = wire::ListDynosRequest { page_size: 0, page_token, ..filter.clone() };
            let page = self.inner.clone().list_dynos(request).await.map_err(self.fail())?.into_inner();
            all.extend(page.dynos);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One dyno, if it is still listed.
    pub(crate) async fn dyno(&self, id: &str) -> Result<Option<wire::Dyno>, CliError> {
        let filter = wire::ListDynosRequest { id: id.to_owned(), ..Default::default() };
        Ok(self.dynos(filter).await?.into_iter().next())
    }

    pub(crate) async fn blocks(&self) -> Result<Vec<wire::Block>, CliError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = wire::ListBlocksRequest { page_size: 0, page_token };
            let page = self.inner.clone().list_blocks(request).await.map_err(self.fail())?.into_inner();
            all.extend(page.blocks);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}
