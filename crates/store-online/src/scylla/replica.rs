//! Which node a key lives on, and sending a request there.

use std::collections::HashMap;
use std::sync::Arc;

use ::scylla::cluster::metadata::Strategy;
use ::scylla::cluster::{ClusterState, Node, NodeRef};
use ::scylla::frame::response::result::TableSpec;
use ::scylla::policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo};
use ::scylla::routing::Shard;
use ::scylla::routing::partitioner::{Murmur3Partitioner, Partitioner};

/// Where a request goes first; the driver's own choice when there is none.
pub(super) type Route = Option<Arc<dyn LoadBalancingPolicy>>;

/// No copies on any ring.
static NOWHERE: Strategy = Strategy::SimpleStrategy {
    replication_factor: 0,
};

/// The first replicas of keys, numbered as they come.
///
/// Rows with the same first replica need not share the others. That is why a request that holds several
/// of them is sent to just that one: no other node has all of them.
#[derive(Debug)]
pub(super) struct Replicas<'a> {
    state: Arc<ClusterState>,
    table: &'a TableSpec<'static>,
    datacenter: Option<&'a str>,
    others: &'a Arc<dyn LoadBalancingPolicy>,
    /// By host and shard.
    numbers: HashMap<(u128, Shard), usize>,
    found: Vec<(Arc<Node>, Shard)>,
}

impl<'a> Replicas<'a> {
    pub fn new(
        state: Arc<ClusterState>,
        table: &'a TableSpec<'static>,
        datacenter: Option<&'a str>,
        others: &'a Arc<dyn LoadBalancingPolicy>,
    ) -> Self {
        Self {
            state,
            table,
            datacenter,
            others,
            numbers: HashMap::new(),
            found: Vec::new(),
        }
    }

    pub fn number_of(&mut self, key: &[u8]) -> Option<usize> {
        let token = Murmur3Partitioner.hash_one(key);
        let keyspace = self.state.get_keyspace(self.table.ks_name())?;
        // Tablets move, and the ring does not know where they are: only what the driver has learned of
        // them counts.
        let strategy = match keyspace.tablet_based {
            true => &NOWHERE,
            false => &keyspace.strategy,
        };
        let locator = self.state.replica_locator();
        let replicas = locator.replicas_for_token(token, strategy, self.datacenter, self.table);
        let (node, shard) = replicas.into_iter().next()?;
        let found = &mut self.found;
        let number = self.numbers.entry((node.host_id.as_u128(), shard));
        let number = number.or_insert_with(|| {
            found.push((Arc::clone(node), shard));
            found.len() - 1
        });
        Some(*number)
    }

    pub fn route(&self, number: Option<usize>) -> Route {
        let (node, shard) = self.found.get(number?)?;
        Some(Arc::new(ReplicaFirst {
            node: Arc::clone(node),
            shard: *shard,
            others: Arc::clone(self.others),
        }))
    }
}

/// One replica, and any other node only when that one does not answer.
#[derive(Debug)]
struct ReplicaFirst {
    node: Arc<Node>,
    shard: Shard,
    others: Arc<dyn LoadBalancingPolicy>,
}

impl LoadBalancingPolicy for ReplicaFirst {
    fn pick<'a>(
        &'a self,
        _request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        // It may have left the cluster since the request was planned.
        let node = cluster.get_node_by_host_id(self.node.host_id)?;
        node.is_connected().then_some((node, Some(self.shard)))
    }

    fn fallback<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> FallbackPlan<'a> {
        self.others.fallback(request, cluster)
    }

    fn name(&self) -> String {
        "ReplicaFirst".to_owned()
    }
}
