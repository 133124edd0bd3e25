package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// status is TiKV's status server. A change of the configuration is applied and then written into the file
// that the ConfigMap mounts read-only: the answer is 500 though the change is in force.
type status struct {
	store    *store
	mu       sync.Mutex
	settings map[string]any
}

// Sections that a running TiKV takes nothing of, but for a few keys.
var fixed = []string{"server", "storage", "pd", "security", "raft-engine"}

var online = []string{
	"server.grpc-memory-pool-quota", "server.max-grpc-send-msg-len", "server.snap-io-max-bytes-per-sec",
	"storage.block-cache.capacity", "storage.scheduler-worker-pool-size",
}

var sections = []string{
	"raftstore", "coprocessor", "pessimistic-txn", "gc", "quota", "split", "cdc", "resolved-ts", "log-backup", "backup",
	"import", "memory", "resource-metering", "rocksdb", "raftdb", "readpool", "log",
}

func (s *status) refusal(key string) string {
	section, _, _ := strings.Cut(key, ".")
	switch {
	case slices.Contains(online, key) || slices.Contains(sections, section):
		return ""
	case slices.Contains(fixed, section):
		return fmt.Sprintf("config %s can not be changed", key)
	}
	return "unexpect fields: " + key
}

func (s *status) post(w http.ResponseWriter, q *http.Request) {
	items := map[string]string{}
	err := json.NewDecoder(q.Body).Decode(&items)
	why := ""
	if err != nil {
		why = err.Error()
	}
	for key := range items {
		if why == "" {
			why = s.refusal(key)
		}
	}
	if why != "" {
		http.Error(w, fmt.Sprintf("failed to update, error: Other(%q)", why), http.StatusInternalServerError)
		return
	}
	for key, v := range items {
		at := s.settings
		path := strings.Split(key, ".")
		for _, part := range path[:len(path)-1] {
			if _, ok := at[part].(map[string]any); !ok {
				at[part] = map[string]any{}
			}
			at = at[part].(map[string]any)
		}
		at[path[len(path)-1]] = v
	}
	if q.URL.Query().Get("persist") != "false" {
		http.Error(w, "failed to update, error: Io(Os { code: 30, kind: ReadOnlyFilesystem, message: \"Read-only file system\" })",
			http.StatusInternalServerError)
	}
}

func (s *status) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.Method + " " + q.URL.Path {
	case "GET /status":
	case "GET /config":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.settings)
	case "POST /config":
		s.post(w, q)
	case "GET /metrics":
		leaders, peers := s.store.raft.counts(s.store.id)
		fmt.Fprintf(w, "tikv_raftstore_region_count{type=\"leader\"} %d\ntikv_raftstore_region_count{type=\"region\"} %d\n",
			leaders, peers)
	default:
		http.Error(w, "path not found", http.StatusNotFound)
	}
}
