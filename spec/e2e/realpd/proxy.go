package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
)

// proxy is the one listener that the operator reaches everything by: the Host header says which pod is
// meant. Where nobody serves, the connection ends without an answer, as a refused one would.
func (k *kubelet) proxy() http.Handler {
	forward := &httputil.ReverseProxy{
		Rewrite: func(q *httputil.ProxyRequest) {
			q.Out.URL.Scheme, q.Out.URL.Host = "http", q.In.Header.Get("X-Backend")
			q.Out.Header.Del("X-Backend")
			q.Out.Host = q.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		k.mu.Lock()
		list := k.serving[q.Host]
		k.mu.Unlock()
		for _, p := range list {
			p.mu.Lock()
			backend, tikv := p.backend, p.tikv
			p.mu.Unlock()
			switch {
			case tikv != nil && tikv.store.alive():
				tikv.ServeHTTP(w, q)
				return
			case backend != "" && listens(backend):
				q.Header.Set("X-Backend", backend)
				forward.ServeHTTP(w, q)
				return
			}
		}
		panic(http.ErrAbortHandler)
	})
}

func listens(at string) bool {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// listen serves on loopback, on a port of the kernel's choice.
func listen(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		if err := http.Serve(l, h); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return l.Addr().String(), nil
}
