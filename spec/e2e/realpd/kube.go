package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"
)

// api reads from a Kubernetes API server.
type api struct {
	server, token string
	client        *http.Client
}

var fields = regexp.MustCompile(`(server|certificate-authority|token): "([^"]*)"`)

// newAPI takes server, CA file and token from the kubeconfig that stack.sh writes.
func newAPI(kubeconfig string) (*api, error) {
	text, err := os.ReadFile(kubeconfig)
	if err != nil {
		return nil, err
	}
	has := map[string]string{}
	for _, m := range fields.FindAllStringSubmatch(string(text), -1) {
		has[m[1]] = m[2]
	}
	pem, err := os.ReadFile(has["certificate-authority"])
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &api{has["server"], has["token"], &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}}, nil
}

func (a *api) open(ctx context.Context, path string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server+path, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+a.token)
	r, err := a.client.Do(q)
	if err == nil && r.StatusCode != http.StatusOK {
		r.Body.Close()
		err = fmt.Errorf("GET %s: %s", path, r.Status)
	}
	return r, err
}

func (a *api) get(ctx context.Context, path string, into any) error {
	r, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return json.NewDecoder(r.Body).Decode(into)
}

// object is as much of a pod or claim as matters here.
type object struct {
	Metadata struct {
		Name, Namespace, UID, ResourceVersion string
		DeletionTimestamp                     string
		Labels                                map[string]string
	}
	Spec struct {
		Subdomain  string
		Containers []struct{ Name, Image string }
		Volumes    []struct {
			ConfigMap             *struct{ Name string }
			PersistentVolumeClaim *struct{ ClaimName string }
		}
	}
	Status struct {
		Conditions []struct{ Type, Status string }
	}
}

// watch tells of every object of a path: each one that is, each change, and each that went, for ever.
func (a *api) watch(ctx context.Context, path string, tell func(gone bool, o *object)) {
	known := map[string]*object{}
	for ctx.Err() == nil {
		if err := a.follow(ctx, path, known, tell); err != nil {
			fmt.Fprintln(os.Stderr, "watch", path, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (a *api) follow(ctx context.Context, path string, known map[string]*object, tell func(bool, *object)) error {
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []*object
	}
	if err := a.get(ctx, path, &list); err != nil {
		return err
	}
	here := map[string]bool{}
	for _, o := range list.Items {
		here[o.Metadata.UID] = true
		known[o.Metadata.UID] = o
		tell(false, o)
	}
	for uid, o := range known {
		if !here[uid] {
			delete(known, uid)
			tell(true, o)
		}
	}
	r, err := a.open(ctx, path+"?watch=1&resourceVersion="+list.Metadata.ResourceVersion)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	in := json.NewDecoder(bufio.NewReader(r.Body))
	for {
		var e struct {
			Type   string
			Object *object
		}
		if err := in.Decode(&e); err != nil {
			return err
		}
		switch e.Type {
		case "ADDED", "MODIFIED":
			known[e.Object.Metadata.UID] = e.Object
			tell(false, e.Object)
		case "DELETED":
			delete(known, e.Object.Metadata.UID)
			tell(true, e.Object)
		default:
			return errors.New(e.Type)
		}
	}
}
