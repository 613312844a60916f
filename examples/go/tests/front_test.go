package tests

import (
	"context"
	"net"
	"sync"
	"testing"

	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A front stands between a worker and the service: it passes calls on, unless a test wants one answered otherwise.
type front struct {
	stintv1.UnimplementedWorkerServiceServer
	service stintv1.WorkerServiceClient
	address string

	mutex   sync.Mutex
	answers map[string]answer
	seen    map[string][]proto.Message
}

// An answer to a request, which it may pass on by forward.
type answer func(forward func() (proto.Message, error)) (proto.Message, error)

var errUnavailable = status.Error(codes.Unavailable, "as the test wants it")

func refuse(func() (proto.Message, error)) (proto.Message, error) { return nil, errUnavailable }

func loseAnswer(forward func() (proto.Message, error)) (proto.Message, error) {
	forward()
	return nil, errUnavailable
}

func newFront(t *testing.T) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{
		service: stintv1.NewWorkerServiceClient(connection),
		address: listener.Addr().String(),
		answers: map[string]answer{},
		seen:    map[string][]proto.Message{},
	}
	server := grpc.NewServer()
	stintv1.RegisterWorkerServiceServer(server, f)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return f
}

// answer answers an RPC so until told otherwise; nil passes it on.
func (f *front) answer(rpc string, answer answer) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.answers[rpc] = answer
}

// answerOnce answers only the next call so.
func (f *front) answerOnce(rpc string, answer answer) {
	f.answer(rpc, func(forward func() (proto.Message, error)) (proto.Message, error) {
		f.answer(rpc, nil)
		return answer(forward)
	})
}

// requests of an RPC so far, in order.
func (f *front) requests(rpc string) []proto.Message {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return append([]proto.Message(nil), f.seen[rpc]...)
}

func pass[Request, Response proto.Message](
	ctx context.Context,
	f *front,
	rpc string,
	request Request,
	call func(context.Context, Request, ...grpc.CallOption) (Response, error),
) (Response, error) {
	f.mutex.Lock()
	f.seen[rpc] = append(f.seen[rpc], request)
	answer := f.answers[rpc]
	f.mutex.Unlock()
	if answer == nil {
		return call(ctx, request)
	}
	message, err := answer(func() (proto.Message, error) { return call(ctx, request) })
	response, _ := message.(Response)
	return response, err
}

func (f *front) Claim(ctx context.Context, request *stintv1.ClaimRequest) (*stintv1.ClaimResponse, error) {
	return pass(ctx, f, "Claim", request, f.service.Claim)
}

func (f *front) Heartbeat(ctx context.Context, request *stintv1.HeartbeatRequest) (*stintv1.HeartbeatResponse, error) {
	return pass(ctx, f, "Heartbeat", request, f.service.Heartbeat)
}

func (f *front) Ack(ctx context.Context, request *stintv1.AckRequest) (*stintv1.AckResponse, error) {
	return pass(ctx, f, "Ack", request, f.service.Ack)
}

func (f *front) Fail(ctx context.Context, request *stintv1.FailRequest) (*stintv1.FailResponse, error) {
	return pass(ctx, f, "Fail", request, f.service.Fail)
}

func (f *front) Release(ctx context.Context, request *stintv1.ReleaseRequest) (*stintv1.ReleaseResponse, error) {
	return pass(ctx, f, "Release", request, f.service.Release)
}
