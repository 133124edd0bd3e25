package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// store is what PD sees of one TiKV: it registers, sends heartbeats, and carries out PD's orders.
type store struct {
	names     *names
	rafts     *rafts
	raft      *raft    // nil until PD answered
	endpoints []string // host:port of PD
	dir       string   // its disk: the id of the store and of the cluster
	meta      *metapb.Store
	first     int // regions that the first one becomes

	beats, reports time.Duration // between heartbeats of the store, and of its regions

	id, cluster uint64
	pd          pdpb.PDClient
	conn        *grpc.ClientConn
	started     time.Time
	running     atomic.Bool
	died        time.Time // under raft.mu
	changed     chan uint64

	// Switches of a scenario.
	noBeats, noRegions, busy, stopping atomic.Bool
}

const (
	capacity = 100 << 30
	patience = 3 * time.Second
)

func (s *store) alive() bool { return s.running.Load() }

func (s *store) header() *pdpb.RequestHeader { return &pdpb.RequestHeader{ClusterId: s.cluster} }

func (s *store) wake(region uint64) {
	select {
	case s.changed <- region:
	default: // the next report of all has it
	}
}

type answer interface{ GetHeader() *pdpb.ResponseHeader }

// said is the error of a call, or the one that PD wrote into the answer.
func said(a answer, err error) error {
	if err != nil {
		return err
	}
	if e := a.GetHeader().GetError(); e != nil && e.Type != pdpb.ErrorType_OK {
		return fmt.Errorf("%s: %s", e.Type, e.Message)
	}
	return nil
}

func (s *store) dial(target string) (pdpb.PDClient, *grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithContextDialer(s.names.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	return pdpb.NewPDClient(conn), conn, nil
}

// connect finds the leader of PD through any endpoint.
func (s *store) connect(ctx context.Context) error {
	var last error
	for _, e := range s.endpoints {
		client, conn, err := s.dial(e)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, patience)
		m, err := client.GetMembers(short, &pdpb.GetMembersRequest{})
		cancel()
		conn.Close()
		if last = said(m, err); last != nil {
			continue
		}
		if len(m.GetLeader().GetClientUrls()) == 0 {
			last = errors.New("PD has no leader")
			continue
		}
		for _, x := range m.Members { // those that join later are known too
			for _, u := range x.ClientUrls {
				s.know(strip(u))
			}
		}
		if s.cluster != 0 && s.cluster != m.Header.ClusterId {
			return fmt.Errorf("PD is cluster %d, this store belongs to %d", m.Header.ClusterId, s.cluster)
		}
		s.cluster, s.raft = m.Header.ClusterId, s.rafts.of(m.Header.ClusterId)
		if s.conn != nil {
			s.conn.Close()
		}
		s.pd, s.conn, err = s.dial(strip(m.Leader.ClientUrls[0]))
		return err
	}
	return last
}

func strip(url string) string {
	return strings.TrimPrefix(strings.TrimPrefix(url, "http://"), "https://")
}

func (s *store) know(endpoint string) {
	for _, e := range s.endpoints {
		if e == endpoint {
			return
		}
	}
	s.endpoints = append(s.endpoints, endpoint)
}

func (s *store) number(file string) uint64 {
	b, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

func (s *store) alloc(ctx context.Context) (uint64, error) {
	a, err := s.pd.AllocID(ctx, &pdpb.AllocIDRequest{Header: s.header()})
	return a.GetId(), said(a, err)
}

// identify reads the ids from the disk, or asks PD for one and keeps it before anybody learns of it.
func (s *store) identify(ctx context.Context) error {
	if s.id != 0 {
		return nil
	}
	if was := s.number("cluster"); was != 0 && was != s.cluster {
		return fmt.Errorf("PD is cluster %d, this disk belongs to %d", s.cluster, was)
	}
	id := s.number("store")
	if id == 0 {
		var err error
		if id, err = s.alloc(ctx); err != nil {
			return err
		}
		for file, n := range map[string]uint64{"cluster": s.cluster, "store": id} {
			if err := os.WriteFile(filepath.Join(s.dir, file), fmt.Appendln(nil, n), 0o644); err != nil {
				return err
			}
		}
	}
	s.id, s.meta.Id = id, id
	return nil
}

// bootstrap founds the cluster of stores if nobody did.
func (s *store) bootstrap(ctx context.Context) error {
	b, err := s.pd.IsBootstrapped(ctx, &pdpb.IsBootstrappedRequest{Header: s.header()})
	if err := said(b, err); err != nil || b.Bootstrapped {
		return err
	}
	region, err := s.alloc(ctx)
	if err != nil {
		return err
	}
	peer, err := s.alloc(ctx)
	if err != nil {
		return err
	}
	p := &metapb.Peer{Id: peer, StoreId: s.id}
	m := &metapb.Region{Id: region, RegionEpoch: &metapb.RegionEpoch{ConfVer: 1, Version: 1}, Peers: []*metapb.Peer{p}}
	a, err := s.pd.Bootstrap(ctx, &pdpb.BootstrapRequest{Header: s.header(), Store: s.meta, Region: m})
	if e := a.GetHeader().GetError(); e.GetType() == pdpb.ErrorType_ALREADY_BOOTSTRAPPED {
		return nil
	}
	if err := said(a, err); err != nil {
		return err
	}
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	s.raft.add(m, p)
	for i := 1; i < s.first; i++ {
		s.raft.later = append(s.raft.later, fmt.Appendf(nil, "t%03d", i))
	}
	return nil
}

// split cuts a region at keys: new ones get the left parts.
func (s *store) split(m *metapb.Region, keys [][]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rest := proto.Clone(m).(*metapb.Region)
	rest.RegionEpoch.Version += uint64(len(keys))
	parts := []*metapb.Region{rest}
	for _, key := range keys {
		part := proto.Clone(rest).(*metapb.Region)
		part.EndKey, rest.StartKey = key, key
		ids := make([]uint64, 1+len(part.Peers))
		for i := range ids {
			var err error
			if ids[i], err = s.alloc(ctx); err != nil {
				return // PD orders it again
			}
		}
		part.Id = ids[0]
		for i, p := range part.Peers {
			p.Id = ids[i+1]
		}
		parts = append(parts, part)
	}
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	g := s.raft.regions[m.Id]
	if !proto.Equal(g.meta, m) {
		return // it changed meanwhile
	}
	g.meta = rest
	s.raft.tell(g)
	for _, part := range parts[1:] {
		for _, p := range part.Peers {
			if p.StoreId == g.leader.StoreId {
				s.raft.tell(s.raft.add(part, p))
			}
		}
	}
}

// register makes PD know this store. From then on it counts as running.
func (s *store) register(ctx context.Context) error {
	if err := s.identify(ctx); err != nil {
		return err
	}
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	if err := s.put(ctx); err != nil {
		return err
	}
	s.appear()
	return nil
}

func (s *store) put(ctx context.Context) error {
	a, err := s.pd.PutStore(ctx, &pdpb.PutStoreRequest{Header: s.header(), Store: s.meta})
	return said(a, err)
}

// appear: from now on its peers take part.
func (s *store) appear() {
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	s.raft.stores[s.id] = s
	s.running.Store(true)
}

func (s *store) heartbeat(ctx context.Context) (*pdpb.StoreHeartbeatResponse, error) {
	_, peers := s.raft.counts(s.id)
	used := uint64(peers) * regionBytes
	now := uint64(time.Now().Unix())
	a, err := s.pd.StoreHeartbeat(ctx, &pdpb.StoreHeartbeatRequest{Header: s.header(), Stats: &pdpb.StoreStats{
		StoreId: s.id, Capacity: capacity, Available: capacity - used, UsedSize: used, RegionCount: uint32(peers),
		StartTime: uint32(s.started.Unix()), IsBusy: s.busy.Load(), IsStopping: s.stopping.Load(), SlowScore: 1,
		Interval: &pdpb.TimeInterval{StartTimestamp: now - 1, EndTimestamp: now},
	}})
	return a, said(a, err)
}

// serve speaks to one leader of PD until that fails.
func (s *store) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.pd.RegionHeartbeat(ctx)
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	go func() {
		for {
			o, err := stream.Recv()
			if err := said(o, err); err != nil {
				broken <- err
				return
			}
			s.raft.obey(s, o)
		}
	}()
	next, all := time.Now(), time.Now()
	for {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(s.beats)
			if !s.noBeats.Load() {
				short, cancel := context.WithTimeout(ctx, patience)
				_, err := s.heartbeat(short)
				cancel()
				if err != nil {
					return err
				}
			}
		}
		var send []*pdpb.RegionHeartbeatRequest
		if now := time.Now(); !now.Before(all) {
			all, send = now.Add(s.reports), s.raft.led(s, 0)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			return err
		case id := <-s.changed:
			send = append(send, s.raft.led(s, id)...)
		case <-time.After(min(time.Until(next), time.Until(all))):
		}
		for _, h := range send {
			if s.noRegions.Load() {
				break
			}
			if err := stream.Send(h); err != nil {
				return err
			}
		}
	}
}

// run is the program tikv-server: it ends with ctx, or when PD does not want this store.
func (s *store) run(ctx context.Context, note func(error)) error {
	defer s.stop()
	s.started = time.Now()
	s.meta.StartTimestamp = s.started.Unix()
	was := ""
	for ctx.Err() == nil {
		err := s.connect(ctx)
		if err == nil && !s.alive() {
			short, cancel := context.WithTimeout(ctx, 2*patience)
			err = s.register(short)
			cancel()
			if err != nil && refused(err) {
				return err
			}
		}
		if err == nil {
			err = s.serve(ctx)
		}
		if ctx.Err() == nil {
			if err.Error() != was { // a buried store is told so for ever, and runs on
				was = err.Error()
				note(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	return nil
}

func refused(err error) bool {
	text := err.Error()
	return strings.Contains(text, "TOMBSTONE") || strings.Contains(text, "duplicated") || strings.Contains(text, "belongs to")
}

func (s *store) stop() {
	if s.raft == nil {
		return
	}
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	s.running.Store(false)
	s.died = time.Now()
	if s.conn != nil {
		s.conn.Close()
	}
}

func newStore(n *names, r *rafts, dir string, endpoints []string, meta *metapb.Store, first int) *store {
	if meta.PeerAddress == "" {
		meta.PeerAddress = meta.Address
	}
	meta.DeployPath, meta.GitHash = "/", "none"
	return &store{names: n, rafts: r, dir: dir, endpoints: endpoints, meta: meta, first: max(first, 1),
		beats: 10 * time.Second, reports: time.Minute, changed: make(chan uint64, math.MaxInt16)}
}
