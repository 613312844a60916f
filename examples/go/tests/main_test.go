// Package tests speaks to a running service as a Go program does: over gRPC alone.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The service under test, and the program of the example worker.
var (
	address    string
	connection *grpc.ClientConn
	workerFile string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run tests the service at STINT_ADDRESS, or else one that it starts.
func run(m *testing.M) (int, error) {
	folder, err := os.MkdirTemp("", "stint-worker-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	workerFile = filepath.Join(folder, "worker")
	if output, err := exec.Command("go", "build", "-o", workerFile, "../worker").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("the worker does not build: %w\n%s", err, output)
	}
	address = os.Getenv("STINT_ADDRESS")
	if address == "" {
		s, err := newService()
		if err != nil {
			return 0, err
		}
		defer s.remove()
		if err := s.start(); err != nil {
			return 0, err
		}
		address = s.address
	}
	connection, err = connect(address)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	return m.Run(), nil
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}
