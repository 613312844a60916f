package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Far more than anything here takes: what hangs shall end, but a slow machine is no failure.
const longTime = 2 * time.Minute

// A process is a child, read line by line.
type process struct {
	command *exec.Cmd
	lines   chan string
	exited  chan struct{}
}

func startProcess(command *exec.Cmd) (*process, error) {
	reader, writer := io.Pipe()
	command.Stdout = writer
	command.Stderr = writer
	if err := command.Start(); err != nil {
		return nil, err
	}
	// As many lines as a test may leave unread.
	p := &process{command: command, lines: make(chan string, 10_000), exited: make(chan struct{})}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	go func() {
		defer close(p.exited)
		command.Wait()
		writer.Close()
	}()
	return p, nil
}

// findLine returns the groups of the first line not read yet that matches, and nil if there is none; and what it read.
func (p *process) findLine(pattern string) (groups []string, read string) {
	expression := regexp.MustCompile(pattern)
	limit := time.After(longTime)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				return nil, read
			}
			read += line + "\n"
			if groups := expression.FindStringSubmatch(line); groups != nil {
				return groups, read
			}
		case <-limit:
			return nil, read
		}
	}
}

func (p *process) waitForLine(t *testing.T, pattern string) {
	t.Helper()
	if groups, read := p.findLine(pattern); groups == nil {
		t.Fatalf("it did not say %q:\n%s", pattern, read)
	}
}

func (p *process) terminate() { p.command.Process.Signal(syscall.SIGTERM) }

// wait returns how it ended; what does not end in a long time is killed.
func (p *process) wait() error {
	select {
	case <-p.exited:
	case <-time.After(longTime):
		p.command.Process.Kill()
		<-p.exited
	}
	if !p.command.ProcessState.Success() {
		return fmt.Errorf("it ended with %s", p.command.ProcessState)
	}
	return nil
}

// A service is a real one with an embedded Postgres in a folder of its own. Starts again at the same address.
type service struct {
	folder  string
	address string
	process *process
}

func newService() (*service, error) {
	// Not a test's own folder: the embedded Postgres may run as another user.
	folder, err := os.MkdirTemp("", "stint-go-")
	return &service{folder: folder, address: "127.0.0.1:0"}, err
}

func (s *service) start() error {
	main, err := filepath.Abs("../../../dist/src/main.js")
	if err != nil {
		return err
	}
	command := exec.Command("node", "--enable-source-maps", main)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"STINT_LISTEN=" + s.address,
		"STINT_ADMIN_LISTEN=127.0.0.1:0",
		"STINT_DATA_DIR=" + s.folder,
		"STINT_LOG_LEVEL=error",
	}
	if s.process, err = startProcess(command); err != nil {
		return err
	}
	groups, read := s.process.findLine(`serves gRPC on (\S+) \(admin`)
	if groups == nil {
		return fmt.Errorf("the service did not start:\n%s", read)
	}
	s.address = groups[1]
	return nil
}

func (s *service) stop() error {
	s.process.terminate()
	return s.process.wait()
}

// remove stops it, if it is not stopped, and leaves nothing behind.
func (s *service) remove() {
	if s.process != nil {
		s.stop()
	}
	os.RemoveAll(s.folder)
}

// ownService is one that the test may stop.
func ownService(t *testing.T) *service {
	t.Helper()
	s, err := newService()
	if err == nil {
		t.Cleanup(s.remove)
		err = s.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
