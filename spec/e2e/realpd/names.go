package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// names is what DNS is in a cluster: every pod has an address of its own on loopback for as long as this
// program runs, and names lead to it. pd-server reads them from a hosts file, the stores ask here. A name
// that was given stays: a pod that is gone refuses connections.
type names struct {
	mu    sync.Mutex
	file  string
	next  int
	pods  map[string]string
	hosts map[string][]string
}

func newNames(file string) (*names, error) {
	n := &names{file: file, pods: map[string]string{}, hosts: map[string][]string{}}
	return n, os.WriteFile(file, []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644)
}

// address returns the pod's address, and makes the hosts lead to it. The file only grows: it is read while
// it is written.
func (n *names) address(pod string, hosts ...string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ip, known := n.pods[pod]
	if known {
		return ip, nil
	}
	n.next++
	ip = fmt.Sprintf("127.77.%d.%d", n.next/250, n.next%250+1)
	f, err := os.OpenFile(n.file, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s\n", ip, strings.Join(hosts, " ")); err != nil {
		return "", err
	}
	n.pods[pod] = ip
	for _, h := range hosts {
		n.hosts[h] = append(n.hosts[h], ip)
	}
	return ip, nil
}

// dial connects to a name, as one that has several addresses: the first that answers.
func (n *names) dial(ctx context.Context, target string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	list := n.hosts[host]
	n.mu.Unlock()
	if len(list) == 0 && net.ParseIP(host) != nil {
		list = []string{host}
	}
	err = fmt.Errorf("no such host: %s", host)
	for _, ip := range list {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ip, port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// spelled returns the ways to write NAME.NS of a service.
func spelled(name string) []string {
	return []string{name, name + ".svc", name + ".svc.cluster.local"}
}
