package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/pingcap/kvproto/pkg/metapb"
)

// stage is where a scenario is played with a real PD: its processes and stores start, die and fall silent
// at the word of the one who replays. Each word is a POST; the answer is "" or what went wrong.
type stage struct {
	dir     string
	program string
	names   *names
	rafts   *rafts

	mu      sync.Mutex
	servers map[string]*server
	stores  map[number]*actor
	order   []uint64 // regions as they were made
}

type actor struct {
	*store
	end context.CancelFunc
}

type words struct {
	Name, Other  string   // of members
	Founders     []string // who founds
	Graceful, On bool
	ID           number
	IDs          []uint64
	N            int
	Store        *metapb.Store
	Silent       bool
	Region       uint64
	Quiet        string // "stores", "regions", "busy", "stopping"
}

// number is an id; it may come as a text, for the sake of large ones.
type number uint64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

func (t *stage) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var a words
	if err := json.NewDecoder(q.Body).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	act := map[string]func(words) error{
		"/start": t.start, "/kill": t.kill, "/hang": t.hang, "/store": t.put, "/regions": t.make, "/die": t.die,
		"/switch": t.turn, "/deaf": t.deaf, "/beat": t.beat, "/report": t.report, "/learner": t.learner, "/sicken": t.sicken, "/speak": t.speak, "/end": t.end,
	}[q.URL.Path]
	if act == nil {
		http.NotFound(w, q)
		return
	}
	if err := act(a); err != nil {
		_, _ = io.WriteString(w, err.Error())
	}
}

// heard is how long it takes until PD has taken what was told to it.
const heard = 50 * time.Millisecond

// at is the address of a member: pd1 has 127.78.0.1.
func at(member string) string { return "127.78.0." + strings.TrimPrefix(member, "pd") }

func (t *stage) start(a words) error {
	if s := t.servers[a.Name]; s != nil {
		s.stop(0)
	}
	f, err := filesOf(t.dir, a.Name, a.Name)
	if err != nil {
		return err
	}
	args := []string{
		"--name", a.Name, "--data-dir", f.data, "--client-urls", "http://" + at(a.Name) + ":2379",
		"--peer-urls", "http://" + at(a.Name) + ":2380",
	}
	if a.Other != "" {
		if err := os.RemoveAll(f.data); err != nil {
			return err
		}
		args = append(args, "--join", "http://"+at(a.Other)+":2379")
	} else {
		var list []string
		for _, name := range a.Founders {
			list = append(list, name+"=http://"+at(name)+":2380")
		}
		args = append(args, "--initial-cluster", strings.Join(list, ","))
	}
	t.servers[a.Name], err = startServer(t.program, t.names.file, f.log, f.pid, args...)
	return err
}

func (t *stage) kill(a words) error {
	s := t.servers[a.Name]
	delete(t.servers, a.Name)
	switch {
	case s == nil:
		return fmt.Errorf("%s does not run", a.Name)
	case a.Graceful:
		s.stop(grace)
	default:
		s.stop(0)
	}
	return nil
}

func (t *stage) hang(a words) error {
	sign := syscall.SIGCONT
	if a.On {
		sign = syscall.SIGSTOP
	}
	return t.servers[a.Name].cmd.Process.Signal(sign)
}

func (t *stage) members() []string {
	var out []string
	for name := range t.servers {
		out = append(out, at(name)+":2379")
	}
	return out
}

// put has a store register. A silent one does no more than that.
func (t *stage) put(a words) error {
	dir, err := os.MkdirTemp(t.dir, "store")
	if err != nil {
		return err
	}
	s := &actor{store: newStore(t.names, t.rafts, dir, t.members(), a.Store, 1)}
	s.beats, s.reports = time.Second, 3*time.Second // as in the recordings
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.raft.mu.Lock()
	s.raft.down = 40 * time.Second
	s.raft.mu.Unlock()
	for n := uint64(0); n < uint64(a.ID) && a.ID < 10000; { // PD's counter is where it would be
		if n, err = s.alloc(ctx); err != nil {
			return err
		}
	}
	s.id, s.meta.Id, s.started = uint64(a.ID), uint64(a.ID), time.Now()
	s.meta.StartTimestamp = s.started.Unix()
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	if err := s.put(ctx); err != nil {
		return err
	}
	if old := t.stores[a.ID]; old != nil {
		old.end()
	}
	t.stores[a.ID] = s
	if _, s.end = context.WithCancel(context.Background()); !a.Silent {
		t.run(s)
	}
	return nil
}

func (t *stage) run(s *actor) {
	var ctx context.Context
	ctx, s.end = context.WithCancel(context.Background())
	s.appear()
	go func() {
		_ = s.store.run(ctx, func(err error) { log.Print("store ", s.id, ": ", err) })
	}()
}

// speak lets stores begin their heartbeats that only registered.
func (t *stage) speak(a words) error {
	for id, s := range t.stores {
		if (a.ID == 0 || a.ID == id) && !s.alive() {
			t.run(s)
		}
	}
	return nil
}

func (t *stage) die(a words) error {
	t.stores[a.ID].end()
	return nil
}

func (t *stage) turn(a words) error {
	for id, s := range t.stores {
		if a.ID == 0 || a.ID == id {
			switch a.Quiet {
			case "stores":
				s.noBeats.Store(a.On)
			case "regions":
				s.noRegions.Store(a.On)
			case "busy":
				s.busy.Store(a.On)
			case "stopping":
				s.stopping.Store(a.On)
			default:
				return fmt.Errorf("no switch %s", a.Quiet)
			}
		}
	}
	return nil
}

func (t *stage) any() *actor {
	for _, s := range t.stores {
		return s
	}
	return nil
}

func (t *stage) deaf(a words) error {
	r := t.any().raft
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = a.On
	return nil
}

func (t *stage) beat(a words) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := t.stores[a.ID]
	// over a connection of its own: that of the store may be about to follow another leader
	once := newStore(t.names, t.rafts, s.dir, t.members(), s.meta, 1)
	once.id, once.started = s.id, s.started
	if err := once.connect(ctx); err != nil {
		return err
	}
	defer once.conn.Close()
	_, err := once.heartbeat(ctx)
	return err
}

func (t *stage) report(a words) error {
	s := t.stores[a.ID]
	for _, h := range s.raft.led(s.store, 0) {
		s.wake(h.Region.Id)
	}
	return nil
}

// sicken has the second peer of the n-th region lag and be down.
func (t *stage) sicken(a words) error {
	r := t.any().raft
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.regions[t.order[a.N-1]]
	bad := g.meta.Peers[1].StoreId
	g.pending, g.down = map[uint64]bool{bad: true}, map[uint64]uint64{bad: 700}
	r.tell(g)
	return nil
}

func (t *stage) learner(a words) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := t.any().alloc(ctx)
	if err != nil {
		return err
	}
	r := t.any().raft
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.regions[a.Region]
	m := proto.Clone(g.meta).(*metapb.Region)
	m.Peers = append(m.Peers, &metapb.Peer{Id: id, StoreId: uint64(a.ID), Role: metapb.PeerRole_Learner})
	m.RegionEpoch.ConfVer++
	g.meta = m
	r.tell(g)
	time.Sleep(heard)
	return nil
}

// make cuts the key space into n regions with three peers each on these stores.
func (t *stage) make(a words) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := t.any()
	var first *metapb.Region
	s.raft.mu.Lock()
	for _, g := range s.raft.regions {
		if first == nil || len(g.meta.EndKey) == 0 {
			first = g.meta
		}
	}
	s.raft.mu.Unlock()
	key := []byte{}
	var list []*metapb.Region
	for i := 1; i <= a.N; i++ {
		m := &metapb.Region{StartKey: key, RegionEpoch: &metapb.RegionEpoch{
			ConfVer: first.RegionEpoch.ConfVer + 4, Version: first.RegionEpoch.Version + uint64(a.N),
		}}
		if key = nil; i < a.N {
			key = fmt.Appendf(nil, "t%03d", i)
		}
		m.EndKey = key
		ids := make([]uint64, 4)
		for k := range ids {
			if i == 1 && k == 0 {
				ids[k] = first.Id
				continue
			}
			var err error
			if ids[k], err = s.alloc(ctx); err != nil {
				return err
			}
		}
		m.Id = ids[0]
		for k := range min(3, len(a.IDs)) {
			m.Peers = append(m.Peers, &metapb.Peer{Id: ids[k+1], StoreId: a.IDs[(i+k)%len(a.IDs)]})
		}
		list = append(list, m)
	}
	s.raft.mu.Lock()
	defer s.raft.mu.Unlock()
	clear(s.raft.regions)
	t.order = nil
	for _, m := range list {
		t.order = append(t.order, m.Id)
		s.raft.tell(s.raft.add(m, m.Peers[0]))
	}
	time.Sleep(heard)
	return nil
}

// end stops everything and forgets it: the next scenario begins with nothing.
func (t *stage) end(words) error {
	for _, s := range t.stores {
		s.end()
	}
	for _, s := range t.servers {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		s.stop(0)
	}
	clear(t.stores)
	clear(t.servers)
	entries, err := os.ReadDir(t.dir)
	for _, e := range entries {
		if !slices.Contains([]string{"hosts", "log"}, e.Name()) && err == nil {
			err = os.RemoveAll(t.dir + "/" + e.Name())
		}
	}
	return err
}
