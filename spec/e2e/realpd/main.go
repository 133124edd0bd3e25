// Command realpd lets real pd-server processes serve the PD pods of a cluster whose nodes are simulated, and
// small stores its TiKV pods. Without a kubeconfig it is the stage of a scenario. Everything is on loopback and ends with this process.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "realpd:", err)
	os.Exit(1)
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server whose pods are run")
	program := flag.String("pd-server", "", "the pd-server program")
	dir := flag.String("dir", "", "folder for disks, logs and process ids")
	first := flag.Int("regions", 12, "regions that a cluster soon has")
	flag.Parse()
	path, err := filepath.Abs(*dir)
	if err == nil {
		err = os.MkdirAll(path, 0o755)
	}
	if err != nil {
		fail(err)
	}
	n, err := newNames(filepath.Join(path, "hosts"))
	if err != nil {
		fail(err)
	}
	groups := &rafts{by: map[uint64]*raft{}}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *kubeconfig == "" {
		t := &stage{
			dir: path, program: *program, names: n, rafts: groups, servers: map[string]*server{}, stores: map[number]*actor{},
		}
		at, err := listen(t)
		if err != nil {
			fail(err)
		}
		fmt.Println("stage: http://" + at)
		<-ctx.Done()
		return
	}
	a, err := newAPI(*kubeconfig)
	if err != nil {
		fail(err)
	}
	k := &kubelet{
		api: a, dir: path, program: *program, names: n, first: *first, pods: map[string]*pod{},
		disks: map[string]*sync.Mutex{}, rafts: groups, serving: map[string][]*pod{},
	}
	at, err := listen(k.proxy())
	if err != nil {
		fail(err)
	}
	fmt.Println("ready: --connect-to ::" + at)
	k.run(ctx)
}
