// A worker, whole: claims jobs that name a file, computes its SHA-256, hands it over as the result.
//
//	go -C examples/go run ./worker [-address HOST:PORT] QUEUE WORKER_ID
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

func main() {
	log.SetFlags(0)
	address := flag.String("address", "127.0.0.1:50051", "`HOST:PORT` of the service")
	slots := flag.Int("slots", 4, "jobs at a time")
	lease := flag.Duration("lease", 30*time.Second, "length of a lease")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: worker [FLAGS] QUEUE WORKER_ID")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	connection, err := connect(*address)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	w := &worker{
		service: stintv1.NewWorkerServiceClient(connection),
		queue:   flag.Arg(0),
		id:      flag.Arg(1),
		lease:   *lease,
	}
	if err := w.run(*slots); err != nil {
		log.Fatal(err)
	}
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// gRPC's own default lets two minutes pass between tries to connect.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Finds out that the other side has vanished without a word.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}),
	)
}

// run works in as many slots until told to leave: then it finishes what it holds and claims no more. A parked claim is not
// cancelled: an answer that crosses the cancellation leaves a lease that nobody keeps.
func (w *worker) run(slots int) error {
	leaving, forget := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer forget()
	context.AfterFunc(leaving, func() { log.Print("leaving") })
	ends := make(chan error, slots)
	for range slots {
		go func() { ends <- w.work(leaving) }()
	}
	for range slots {
		if err := <-ends; err != nil {
			return err
		}
	}
	return nil
}
