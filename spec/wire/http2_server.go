// An HTTP/2 server whose behaviour is that of a kube-apiserver, for http2_spec.lua.
// Usage: http2_server FOLDER. Reads FOLDER/cert and FOLDER/key, writes FOLDER/port, and ends when
// its standard input is closed.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	folder := os.Args[1]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	end := make(chan bool)
	http.HandleFunc("/peer", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.RemoteAddr)
	})
	// Like the filters for authentication and fairness: the body is not read.
	http.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "no")
	})
	http.HandleFunc("/goaway", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, r.RemoteAddr)
	})
	http.HandleFunc("/watch", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr)
		w.(http.Flusher).Flush()
		<-end
		fmt.Fprint(w, " end")
	})
	http.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { end <- true })
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(folder+"/port", []byte(port), 0o600); err != nil {
		panic(err)
	}
	go http.ServeTLS(listener, nil, folder+"/cert", folder+"/key")
	io.Copy(io.Discard, os.Stdin)
}
