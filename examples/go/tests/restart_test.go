package tests

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const (
	restartRounds = 2
	producers     = 8
	callLimit     = 20 * time.Second
	passingPause  = 20 * time.Millisecond
)

// replicas are three of them over a Postgres of their own.
type replicas struct {
	process   *process
	input     io.WriteCloser
	addresses []string
}

func startReplicas(t *testing.T) *replicas {
	t.Helper()
	command := exec.Command("node", "--import", "tsx", "test/support/rolling-restart-in-child.ts")
	command.Dir = "../../.."
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	process, err := startProcess(command)
	if err != nil {
		t.Fatal(err)
	}
	r := &replicas{process: process, input: input}
	t.Cleanup(func() {
		input.Close()
		if err := process.wait(); err != nil {
			t.Error(err)
		}
	})
	groups, read := process.findLine(`^replicas (\S+)`)
	if groups == nil {
		t.Fatalf("the replicas did not start:\n%s", read)
	}
	r.addresses = strings.Split(groups[1], ",")
	return r
}

// restartEach restarts one after the other: each serves again before the next is told to stop.
func (r *replicas) restartEach(t *testing.T) {
	t.Helper()
	fmt.Fprintln(r.input, "restart")
	r.process.waitForLine(t, "^restarted$")
}

// connectToAll balances over the replicas as docs/languages.md has it, by a list in place of a name.
func (r *replicas) connectToAll(t *testing.T) *grpc.ClientConn {
	t.Helper()
	serviceConfig, err := os.ReadFile("../../service-config.json")
	if err != nil {
		t.Fatal(err)
	}
	list := manual.NewBuilderWithScheme("list")
	var state resolver.State
	for _, address := range r.addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	list.InitialState(state)
	connection, err := grpc.NewClient(
		"list:///replicas",
		grpc.WithResolvers(list),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(serviceConfig)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// A rider makes the very same call until it is answered, and keeps account of what it met.
type rider struct {
	queue   string
	jobs    stintv1.JobServiceClient
	workers stintv1.WorkerServiceClient
	events  stintv1.EventServiceClient
	// Ends everything with what no restart may cause.
	ctx  context.Context
	fail context.CancelCauseFunc
	// Done once told to leave: the producers first, then the others.
	enough, leaving context.Context

	mutex sync.Mutex
	// Code and reason of what failed, reason of a reconnect; and how often.
	seen         map[string]int
	ended        map[string]bool
	answeredAt   time.Time
	longestPause time.Duration
}

func newRider(connection *grpc.ClientConn) *rider {
	return &rider{
		queue:      "restart-" + rand.Text(),
		jobs:       stintv1.NewJobServiceClient(connection),
		workers:    stintv1.NewWorkerServiceClient(connection),
		events:     stintv1.NewEventServiceClient(connection),
		seen:       map[string]int{},
		ended:      map[string]bool{},
		answeredAt: time.Now(),
	}
}

func (r *rider) note(what string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seen[what]++
}

func (r *rider) answered() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := time.Now()
	r.longestPause = max(r.longestPause, now.Sub(r.answeredAt))
	r.answeredAt = now
}

func (r *rider) pauseSoFar() time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.longestPause
}

// bear waits a moment where the same may succeed then, and tells whether to go on.
func (r *rider) bear(err error) bool {
	if r.ctx.Err() != nil {
		return false
	}
	why := refusal.Reason(err)
	if why == "" {
		why = status.Convert(err).Message()
	}
	r.note(fmt.Sprintf("%s/%s", status.Code(err), why))
	if status.Code(err) != codes.Unavailable {
		r.fail(err)
		return false
	}
	time.Sleep(passingPause)
	return true
}

// ask returns nil once everything is to end.
func ask[Request, Response any](
	r *rider,
	call func(context.Context, *Request, ...grpc.CallOption) (*Response, error),
	request *Request,
) *Response {
	for {
		ctx, cancel := context.WithTimeout(r.ctx, callLimit)
		answer, err := call(ctx, request)
		cancel()
		if err == nil {
			r.answered()
			return answer
		}
		if !r.bear(err) {
			return nil
		}
	}
}

func TestAClientOfThreeReplicasRidesThroughTheirRestart(t *testing.T) {
	three := startReplicas(t)
	r := newRider(three.connectToAll(t))
	var tellEnough, tellToLeave context.CancelFunc
	r.ctx, r.fail = context.WithCancelCause(t.Context())
	r.enough, tellEnough = context.WithCancel(r.ctx)
	r.leaving, tellToLeave = context.WithCancel(r.ctx)
	defer r.fail(nil)
	var producing, working sync.WaitGroup
	for number := range 2 {
		working.Go(func() { r.claim(fmt.Sprintf("claim-%d", number)) })
		working.Go(func() { r.work(fmt.Sprintf("work-%d", number)) })
	}
	follower := newFollower(r)
	working.Go(follower.follow)
	for range producers {
		producing.Go(r.produce)
	}
	for range restartRounds {
		three.restartEach(t)
	}
	tellEnough()
	producing.Wait()
	// What comes later are claims that wait in vain.
	pause := r.pauseSoFar()
	if r.ctx.Err() == nil {
		follower.heardOf(r.ended)
	}
	tellToLeave()
	working.Wait()
	if err := context.Cause(r.ctx); err != nil {
		t.Fatal(err)
	}
	if len(r.ended) == 0 {
		t.Fatal("nothing was done")
	}
	equal(t, "ends that were told", len(follower.ended), len(r.ended))
	t.Logf("Go: %d jobs, longest pause %d ms, seen %v", len(r.ended), pause.Milliseconds(), r.seen)
}
