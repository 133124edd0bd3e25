package main

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/pingcap/kvproto/pkg/eraftpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
)

// raft is what the stores of one cluster know together: which region has which peers, and who leads.
// What Raft would agree on by messages happens here under one lock. A region's meta is never changed, only
// replaced, so a heartbeat may carry it as it is.
type raft struct {
	mu      sync.Mutex
	stores  map[uint64]*store
	regions map[uint64]*region
	deaf    bool          // stores take no orders
	down    time.Duration // until a silent peer is reported as down
	later   [][]byte      // keys that the first region is split at when it has its replicas
}

// rafts are the clusters by the id that PD gave them.
type rafts struct {
	mu sync.Mutex
	by map[uint64]*raft
}

func (r *rafts) of(cluster uint64) *raft {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[cluster] == nil {
		r.by[cluster] = newRaft()
	}
	return r.by[cluster]
}

type region struct {
	meta    *metapb.Region
	leader  *metapb.Peer
	term    uint64
	size    uint64
	fresh   map[uint64]time.Time // peers that lag behind until then
	pending map[uint64]bool      // peers that lag for good, and peers that are down: set by a scenario
	down    map[uint64]uint64
}

const (
	mib         = 1 << 20
	lag         = 300 * time.Millisecond // until a new peer has all data
	electAfter  = 2 * time.Second
	regionBytes = 96 * mib
)

func newRaft() *raft {
	r := &raft{stores: map[uint64]*store{}, regions: map[uint64]*region{}, down: 10 * time.Minute}
	go func() {
		for range time.Tick(200 * time.Millisecond) {
			r.elect()
		}
	}()
	return r
}

// tell has the leader report a region now.
func (r *raft) tell(g *region) {
	if s := r.stores[g.leader.StoreId]; s != nil {
		s.wake(g.meta.Id)
	}
}

func voter(p *metapb.Peer) bool { return p.Role != metapb.PeerRole_Learner }

// elect gives regions of dead stores another leader where a majority lives.
func (r *raft) elect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.later) > 0 {
		r.grow()
	}
	alive := func(id uint64) bool { s := r.stores[id]; return s != nil && s.alive() }
	for _, g := range r.regions {
		for id, until := range g.fresh {
			if time.Now().After(until) {
				delete(g.fresh, id)
				r.tell(g)
			}
		}
		if s := r.stores[g.leader.StoreId]; s != nil && (s.alive() || time.Since(s.died) < electAfter) {
			continue
		}
		var voters, up []*metapb.Peer
		for _, p := range g.meta.Peers {
			if voter(p) {
				voters = append(voters, p)
				if alive(p.StoreId) && p.Role != metapb.PeerRole_DemotingVoter {
					up = append(up, p)
				}
			}
		}
		if 2*len(up) > len(voters) {
			g.leader = up[g.meta.Id%uint64(len(up))]
			g.term++
			r.tell(g)
		}
	}
}

// grow splits the first region once: by then its parts have replicas, too.
func (r *raft) grow() {
	for _, g := range r.regions {
		s, m := r.stores[g.leader.StoreId], g.meta
		if s == nil || len(m.Peers) < 3 || len(g.fresh) > 0 || slices.ContainsFunc(m.Peers, func(p *metapb.Peer) bool {
			return p.Role != metapb.PeerRole_Voter
		}) {
			continue
		}
		from, to := r.later[0], r.later[len(r.later)-1]
		if bytes.Compare(m.StartKey, from) < 0 && (len(m.EndKey) == 0 || bytes.Compare(to, m.EndKey) < 0) {
			go s.split(m, r.later)
			r.later = nil
			return
		}
	}
}

// counts of a store: regions that it leads, and peers.
func (r *raft) counts(id uint64) (leaders, peers int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.regions {
		for _, p := range g.meta.Peers {
			if p.StoreId == id {
				peers++
			}
		}
		if g.leader.StoreId == id {
			leaders++
		}
	}
	return
}

// led returns the heartbeats of one region (id) or all (0) that a store leads.
func (r *raft) led(s *store, id uint64) []*pdpb.RegionHeartbeatRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*pdpb.RegionHeartbeatRequest
	for _, g := range r.regions {
		if g.leader.StoreId != s.id || id != 0 && id != g.meta.Id {
			continue
		}
		h := &pdpb.RegionHeartbeatRequest{
			Header: s.header(), Region: g.meta, Leader: g.leader, Term: g.term,
			ApproximateSize: g.size, ApproximateKeys: g.size / 1024,
		}
		for _, p := range g.meta.Peers {
			if _, lags := g.fresh[p.Id]; lags || g.pending[p.StoreId] {
				h.PendingPeers = append(h.PendingPeers, p)
			}
			away := g.down[p.StoreId]
			if x := r.stores[p.StoreId]; away == 0 && x != nil && !x.alive() && time.Since(x.died) > r.down {
				away = uint64(time.Since(x.died).Seconds())
			}
			if away > 0 {
				h.DownPeers = append(h.DownPeers, &pdpb.PeerStats{Peer: p, DownSeconds: away})
			}
		}
		out = append(out, h)
	}
	return out
}

// obey carries out an order of PD, if the region is still as PD saw it and this store leads it.
func (r *raft) obey(s *store, o *pdpb.RegionHeartbeatResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.regions[o.RegionId]
	if r.deaf || g == nil || g.leader.StoreId != s.id || !proto.Equal(g.meta.RegionEpoch, o.RegionEpoch) {
		return
	}
	switch {
	case o.TransferLeader != nil:
		r.transfer(g, o.TransferLeader)
	case o.ChangePeer != nil:
		r.change(g, []*pdpb.ChangePeer{o.ChangePeer})
	case o.ChangePeerV2 != nil:
		r.change(g, o.ChangePeerV2.Changes)
	case o.SplitRegion != nil && len(o.SplitRegion.Keys) > 0:
		go s.split(g.meta, o.SplitRegion.Keys)
	}
}

func (r *raft) transfer(g *region, o *pdpb.TransferLeader) {
	for _, to := range append(o.Peers, o.Peer) {
		s := r.stores[to.GetStoreId()]
		if s == nil || !s.alive() {
			continue
		}
		for _, p := range g.meta.Peers {
			if p.StoreId == s.id && voter(p) {
				g.leader = p
				g.term++
				r.tell(g)
				return
			}
		}
	}
}

// change is one change of peers, several at once (a joint state begins), or none (it ends).
func (r *raft) change(g *region, list []*pdpb.ChangePeer) {
	m := proto.Clone(g.meta).(*metapb.Region)
	done := 0
	for _, c := range list {
		if len(list) == 1 && c.ChangeType == eraftpb.ConfChangeType_RemoveNode && c.Peer.StoreId == g.leader.StoreId {
			return // Raft refuses to remove the leader
		}
		if one(m, c, len(list) > 1) {
			done++
			if c.ChangeType != eraftpb.ConfChangeType_RemoveNode && len(m.Peers) > len(g.meta.Peers) {
				g.fresh[c.Peer.Id] = time.Now().Add(lag)
			}
		}
	}
	if len(list) == 0 {
		for _, p := range m.Peers {
			switch p.Role {
			case metapb.PeerRole_IncomingVoter:
				p.Role = metapb.PeerRole_Voter
				done++
			case metapb.PeerRole_DemotingVoter:
				p.Role = metapb.PeerRole_Learner
				done++
			}
		}
	}
	m.RegionEpoch.ConfVer += uint64(done)
	g.meta = m
	for _, p := range m.Peers {
		if p.StoreId == g.leader.StoreId {
			g.leader = p
		}
	}
	r.tell(g)
}

func one(m *metapb.Region, c *pdpb.ChangePeer, joint bool) bool {
	role := metapb.PeerRole_Voter
	switch {
	case c.ChangeType == eraftpb.ConfChangeType_AddLearnerNode && joint:
		role = metapb.PeerRole_DemotingVoter
	case c.ChangeType == eraftpb.ConfChangeType_AddLearnerNode:
		role = metapb.PeerRole_Learner
	case joint:
		role = metapb.PeerRole_IncomingVoter
	}
	for i, p := range m.Peers {
		if p.StoreId != c.Peer.StoreId {
			continue
		}
		if c.ChangeType == eraftpb.ConfChangeType_RemoveNode {
			m.Peers = append(m.Peers[:i], m.Peers[i+1:]...)
		} else {
			p.Role = role
		}
		return true
	}
	if c.ChangeType == eraftpb.ConfChangeType_RemoveNode {
		return false
	}
	m.Peers = append(m.Peers, &metapb.Peer{Id: c.Peer.Id, StoreId: c.Peer.StoreId, Role: role})
	return true
}

// add puts a region under the raft's eyes.
func (r *raft) add(m *metapb.Region, leader *metapb.Peer) *region {
	g := &region{meta: m, leader: leader, term: 6, size: regionBytes, fresh: map[uint64]time.Time{}}
	r.regions[m.Id] = g
	return g
}
