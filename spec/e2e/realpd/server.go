package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is one pd-server process. It reads the names from our hosts file, which lies over /etc/hosts in a
// mount namespace of its own.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

const withHosts = `mount --make-rprivate / 2>/dev/null; mount --bind "$0" /etc/hosts && exec "$@"`

func startServer(program, hosts, log, pidFile string, args ...string) (*server, error) {
	out, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	alone := []string{"--mount"}
	if os.Geteuid() != 0 {
		alone = append(alone, "--map-root-user")
	}
	s := &server{done: make(chan struct{})}
	s.cmd = exec.Command("unshare", append(append(alone, "sh", "-c", withHosts, hosts, program), args...)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	// It ends with us, however we end, and takes no Ctrl-C of the terminal.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := os.WriteFile(pidFile, fmt.Appendln(nil, s.cmd.Process.Pid), 0o644); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in its log
		_ = os.Remove(pidFile)
		close(s.done)
	}()
	return s, nil
}

// stop waits for the end: SIGTERM first where it may take its time.
func (s *server) stop(grace time.Duration) {
	if grace > 0 {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
			return
		case <-time.After(grace):
		}
	}
	_ = s.cmd.Process.Kill()
	<-s.done
}

// files are the places of one pod.
type files struct{ config, data, log, pid string }

func filesOf(dir, pod, disk string) (files, error) {
	f := files{
		config: filepath.Join(dir, "config", pod+".toml"), data: filepath.Join(dir, "disks", disk),
		log: filepath.Join(dir, "log", pod+".log"), pid: filepath.Join(dir, "pid", pod),
	}
	for _, d := range []string{filepath.Dir(f.config), f.data, filepath.Dir(f.log), filepath.Dir(f.pid)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return f, err
		}
	}
	return f, nil
}
