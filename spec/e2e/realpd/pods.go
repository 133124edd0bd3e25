package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/pingcap/kvproto/pkg/metapb"
)

// kubelet runs what is in the pods that kwok says are running: a pd-server process for a pod of PD, a store
// for one of TiKV. A pod's program ends with it: SIGTERM when it is deleted, SIGKILL when it is gone
// without that. What a claim holds is a folder by the claim's uid, which goes with the claim.
type kubelet struct {
	api     *api
	dir     string
	program string // pd-server
	names   *names
	first   int // regions that a cluster soon has

	mu      sync.Mutex
	pods    map[string]*pod        // by uid
	disks   map[string]*sync.Mutex // by uid of the claim: one program at a time
	rafts   *rafts
	serving map[string][]*pod // by host:port
}

type pod struct {
	key, kind, uid string
	object         *object
	ctx            context.Context
	stop           context.CancelFunc
	killed         atomic.Bool // before stop: no grace

	mu      sync.Mutex
	backend string  // PD: ip:port of its client URL, "" while it does not run
	tikv    *status // TiKV: the status server, nil while it does not run
}

const (
	grace      = 30 * time.Second
	startAgain = time.Second
)

func (k *kubelet) run(ctx context.Context) {
	go k.api.watch(ctx, "/api/v1/persistentvolumeclaims", k.onClaim)
	k.api.watch(ctx, "/api/v1/pods", func(gone bool, o *object) { k.onPod(ctx, gone, o) })
}

func (k *kubelet) onClaim(gone bool, o *object) {
	if !gone {
		return
	}
	go func() {
		disk := k.disk(o.Metadata.UID)
		disk.Lock()
		defer disk.Unlock()
		if err := os.RemoveAll(filepath.Join(k.dir, "disks", o.Metadata.UID)); err != nil {
			log.Print(err)
		}
	}()
}

func (k *kubelet) disk(uid string) *sync.Mutex {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.disks[uid] == nil {
		k.disks[uid] = &sync.Mutex{}
	}
	return k.disks[uid]
}

func ready(o *object) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

func (k *kubelet) onPod(ctx context.Context, gone bool, o *object) {
	k.mu.Lock()
	defer k.mu.Unlock()
	uid := o.Metadata.UID
	p := k.pods[uid]
	switch {
	case gone:
		if p != nil {
			p.killed.Store(p.ctx.Err() == nil)
			p.stop()
			delete(k.pods, uid)
		}
	case o.Metadata.DeletionTimestamp != "":
		if p != nil {
			p.stop()
		}
	case p == nil && ready(o) && (o.Spec.Containers[0].Name == "pd" || o.Spec.Containers[0].Name == "tikv"):
		p = &pod{key: o.Metadata.Namespace + "." + o.Metadata.Name, kind: o.Spec.Containers[0].Name, uid: uid, object: o}
		p.ctx, p.stop = context.WithCancel(ctx)
		k.pods[uid] = p
		go k.keep(p)
	}
}

// keep starts the program of a pod again whenever it ends, as long as the pod is there.
func (k *kubelet) keep(p *pod) {
	uid, err := k.claim(p)
	for ; err != nil && p.ctx.Err() == nil; uid, err = k.claim(p) {
		log.Print(p.key, ": ", err)
		time.Sleep(startAgain)
	}
	if p.ctx.Err() != nil {
		return
	}
	disk := k.disk(uid)
	disk.Lock()
	defer disk.Unlock()
	for p.ctx.Err() == nil {
		began := time.Now()
		var f files
		if f, err = filesOf(k.dir, p.key, uid); err == nil {
			err = k.once(p, f)
		}
		if p.ctx.Err() == nil {
			log.Printf("%s: ended after %s: %v", p.key, time.Since(began).Round(time.Millisecond), err)
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(startAgain):
		}
	}
}

// claim is the uid of the claim that holds the data; the pod's own uid where there is none.
func (k *kubelet) claim(p *pod) (string, error) {
	for _, v := range p.object.Spec.Volumes {
		if c := v.PersistentVolumeClaim; c != nil && strings.HasPrefix(c.ClaimName, "data-") {
			var o object
			err := k.api.get(p.ctx, "/api/v1/namespaces/"+p.object.Metadata.Namespace+"/persistentvolumeclaims/"+c.ClaimName, &o)
			return o.Metadata.UID, err
		}
	}
	return p.uid, nil
}

// settings is config.toml from the pod's config map, written to where the program reads it.
func (k *kubelet) settings(p *pod, file string) (map[string]any, error) {
	for _, v := range p.object.Spec.Volumes {
		if v.ConfigMap == nil {
			continue
		}
		var m struct{ Data map[string]string }
		err := k.api.get(p.ctx, "/api/v1/namespaces/"+p.object.Metadata.Namespace+"/configmaps/"+v.ConfigMap.Name, &m)
		if err != nil {
			return nil, err
		}
		tree := map[string]any{}
		if _, err := toml.Decode(m.Data["config.toml"], &tree); err != nil {
			return nil, err
		}
		return tree, os.WriteFile(file, []byte(m.Data["config.toml"]), 0o644)
	}
	return nil, errors.New("no config map")
}

// once runs the program until it ends or its pod does.
func (k *kubelet) once(p *pod, f files) error {
	tree, err := k.settings(p, f.config)
	if err != nil {
		return err
	}
	if tree["refused-at-start"] == true { // how scenarios break a template
		return errors.New("the configuration is refused")
	}
	if p.kind == "pd" {
		return k.pd(p, f, tree)
	}
	return k.tikv(p, f, tree)
}

func text(tree map[string]any, path string) string {
	var at any = tree
	for _, key := range strings.Split(path, ".") {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	if list, ok := at.([]any); ok && len(list) > 0 {
		at = list[0]
	}
	s, _ := at.(string)
	return s
}

var port = regexp.MustCompile(`:(\d+)$`)

// pd replaces "every address" by the pod's own: here all pods are on one machine.
func (k *kubelet) pd(p *pod, f files, tree map[string]any) error {
	o := p.object
	service := fmt.Sprintf("%s-pd.%s", o.Metadata.Labels["core.tikv.org/group"], o.Metadata.Namespace)
	own := fmt.Sprintf("%s.%s.%s", o.Metadata.Name, o.Spec.Subdomain, o.Metadata.Namespace)
	hosts := append(spelled(own), spelled(service)...)
	ip, err := k.names.address(p.key, hosts...)
	if err != nil {
		return err
	}
	client, peer := port.FindString(text(tree, "client-urls")), port.FindString(text(tree, "peer-urls"))
	s, err := startServer(k.program, k.names.file, f.log, f.pid, "--config", f.config, "--data-dir", f.data,
		"--client-urls", "http://"+ip+client, "--peer-urls", "http://"+ip+peer)
	if err != nil {
		return err
	}
	k.serve(p, hosts, client, func() { p.backend = ip + client })
	defer k.silence(p, hosts, client, func() { p.backend = "" })
	select {
	case <-s.done:
		return fmt.Errorf("see %s", f.log)
	case <-p.ctx.Done():
	}
	if p.killed.Load() {
		s.stop(0)
	} else {
		s.stop(grace)
	}
	return nil
}

var version = regexp.MustCompile(`:v?(\d+\.\d+\.\d+[^:@/]*)$`)

func (k *kubelet) tikv(p *pod, f files, tree map[string]any) error {
	meta := &metapb.Store{
		Address: text(tree, "server.advertise-addr"), StatusAddress: text(tree, "server.advertise-status-addr"),
		Version: "8.5.2",
	}
	if m := version.FindStringSubmatch(p.object.Spec.Containers[0].Image); m != nil {
		meta.Version = m[1]
	}
	server, _ := tree["server"].(map[string]any)
	labels, _ := server["labels"].(map[string]any)
	for key, v := range labels {
		meta.Labels = append(meta.Labels, &metapb.StoreLabel{Key: key, Value: fmt.Sprint(v)})
	}
	at := strip(text(tree, "pd.endpoints"))
	s := newStore(k.names, k.rafts, f.data, []string{at}, meta, k.first)
	for key, d := range map[string]*time.Duration{"pd-store-heartbeat-tick-interval": &s.beats, "pd-heartbeat-tick-interval": &s.reports} {
		if set, err := time.ParseDuration(text(tree, "raftstore."+key)); err == nil {
			*d = set
		}
	}
	host, statusPort, _ := strings.Cut(meta.StatusAddress, ":")
	k.serve(p, []string{host}, ":"+statusPort, func() { p.tikv = &status{store: s, settings: tree} })
	defer k.silence(p, []string{host}, ":"+statusPort, func() { p.tikv = nil })
	return s.run(p.ctx, func(err error) { log.Print(p.key, ": ", err) })
}

func (k *kubelet) serve(p *pod, hosts []string, port string, begin func()) {
	k.mu.Lock()
	for _, h := range hosts {
		k.serving[h+port] = append(k.serving[h+port], p)
	}
	k.mu.Unlock()
	p.mu.Lock()
	begin()
	p.mu.Unlock()
}

func (k *kubelet) silence(p *pod, hosts []string, port string, end func()) {
	p.mu.Lock()
	end()
	p.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range hosts {
		k.serving[h+port] = slices.DeleteFunc(k.serving[h+port], func(x *pod) bool { return x == p })
	}
}
