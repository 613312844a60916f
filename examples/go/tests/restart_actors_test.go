package tests

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"

	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	heldAtOnce = 10
	restLease  = 10 * time.Second
	restWait   = 2 * time.Second
)

// produce enqueues, and awaits each job that was answered for.
func (r *rider) produce() {
	for r.enough.Err() == nil {
		key := rand.Text()
		spec := &stintv1.JobSpec{Queue: r.queue, IdempotencyKey: key, Payload: []byte(key)}
		answer := ask(r, r.jobs.Enqueue, &stintv1.EnqueueRequest{Job: spec})
		if answer == nil {
			return
		}
		job := r.endOf(answer.Job.JobId)
		if job == nil {
			return
		}
		if job.State != stintv1.JobState_JOB_STATE_SUCCEEDED || string(job.Result) != key {
			r.fail(fmt.Errorf("job %s ended otherwise: %s", job.JobId, job.State))
			return
		}
		r.mutex.Lock()
		r.ended[job.JobId] = true
		r.mutex.Unlock()
	}
}

func (r *rider) endOf(id string) *stintv1.Job {
	for {
		stream, err := r.jobs.AwaitTerminal(r.ctx, &stintv1.AwaitTerminalRequest{JobId: id})
		for err == nil {
			var message *stintv1.AwaitTerminalResponse
			if message, err = stream.Recv(); err == nil && message.Terminal {
				return message.Job
			}
		}
		if !r.bear(err) {
			return nil
		}
	}
}

func acked(claimed *stintv1.ClaimedJob) *stintv1.Settlement {
	ack := &stintv1.AckSettlement{Result: claimed.Payload}
	return &stintv1.Settlement{LeaseToken: claimed.Lease.LeaseToken, Action: &stintv1.Settlement_Ack{Ack: ack}}
}

func settlementsOf(jobs []*stintv1.ClaimedJob) (settlements []*stintv1.Settlement) {
	for _, claimed := range jobs {
		settlements = append(settlements, acked(claimed))
	}
	return settlements
}

// allAcked fails the ride for a settlement that was refused.
func (r *rider) allAcked(results []*stintv1.SettleResult) {
	for _, result := range results {
		if result.GetAck() == nil {
			r.fail(fmt.Errorf("a settlement was refused: %v", result))
		}
	}
}

// claim works by unary calls.
func (r *rider) claim(workerID string) {
	for r.leaving.Err() == nil {
		answer := ask(r, r.workers.Claim, &stintv1.ClaimRequest{
			WorkerId:      workerID,
			Queues:        []string{r.queue},
			MaxJobs:       heldAtOnce,
			Wait:          durationpb.New(restWait),
			LeaseDuration: durationpb.New(restLease),
			RequestId:     rand.Text(),
		})
		if answer == nil {
			return
		}
		if len(answer.Jobs) == 0 {
			continue
		}
		settled := ask(r, r.workers.Settle, &stintv1.SettleRequest{Settlements: settlementsOf(answer.Jobs)})
		if settled == nil {
			return
		}
		r.allAcked(settled.Results)
	}
}

// work works over one stream after the other: what was not answered on one is settled again on the next.
func (r *rider) work(workerID string) {
	unanswered := map[string]*stintv1.WorkSettle{}
	for r.leaving.Err() == nil || len(unanswered) > 0 {
		stream, err := r.workers.Work(r.ctx)
		if err == nil {
			err = r.session(stream, workerID, unanswered)
		}
		if err != io.EOF && !r.bear(err) {
			return
		}
	}
}

// session returns why the stream ended: io.EOF where that was in order.
func (r *rider) session(stream workStream, workerID string, unanswered map[string]*stintv1.WorkSettle) error {
	var mutex sync.Mutex
	isOpen := true
	// What cannot be said is told by what is received.
	say := func(request *stintv1.WorkRequest) {
		mutex.Lock()
		defer mutex.Unlock()
		if isOpen {
			stream.Send(request)
		}
	}
	sayNoMore := func() {
		mutex.Lock()
		defer mutex.Unlock()
		isOpen = false
		stream.CloseSend()
	}
	settle := func(settle *stintv1.WorkSettle) {
		unanswered[settle.Id] = settle
		say(&stintv1.WorkRequest{Request: &stintv1.WorkRequest_Settle{Settle: settle}})
	}
	open := &stintv1.WorkOpen{WorkerId: workerID, Queues: []string{r.queue}, Credits: heldAtOnce, LeaseDuration: durationpb.New(restLease)}
	if r.leaving.Err() != nil {
		open.Credits = 0
	}
	say(&stintv1.WorkRequest{Request: &stintv1.WorkRequest_Open{Open: open}})
	for _, former := range unanswered {
		settle(former)
	}
	defer context.AfterFunc(r.leaving, sayNoMore)()
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		switch said := response.Response.(type) {
		case *stintv1.WorkResponse_Assigned:
			settle(&stintv1.WorkSettle{Id: rand.Text(), Settlements: settlementsOf(said.Assigned.Jobs)})
		case *stintv1.WorkResponse_Settled:
			r.allAcked(said.Settled.Results)
			delete(unanswered, said.Settled.Id)
		case *stintv1.WorkResponse_Reconnect:
			r.note(said.Reconnect.Reason.String())
			sayNoMore()
		}
	}
}

type workStream = grpc.BidiStreamingClient[stintv1.WorkRequest, stintv1.WorkResponse]

// A follower hears of each job in order and without a gap; again only behind a stream that broke.
type follower struct {
	rider     *rider
	sequences map[string]int64
	claimed   map[string]int64
	ended     map[string]bool
	changed   chan struct{}
}

func newFollower(r *rider) *follower {
	return &follower{
		rider:     r,
		sequences: map[string]int64{},
		claimed:   map[string]int64{},
		ended:     map[string]bool{},
		changed:   make(chan struct{}, 1),
	}
}

func (f *follower) follow() {
	r := f.rider
	request := &stintv1.SubscribeRequest{Start: &stintv1.SubscribeRequest_FromBeginning{FromBeginning: &emptypb.Empty{}}}
	request.Scope = &stintv1.SubscribeRequest_Queue{Queue: r.queue}
	for r.leaving.Err() == nil {
		stream, err := r.events.Subscribe(r.leaving, request)
		for err == nil {
			var message *stintv1.SubscribeResponse
			if message, err = stream.Recv(); err != nil {
				break
			}
			for _, event := range message.Events {
				f.hear(event)
			}
			request.Start = &stintv1.SubscribeRequest_Cursor{Cursor: message.Cursor}
			if message.Reconnect != nil {
				r.note(message.Reconnect.Reason.String())
			}
		}
		if r.leaving.Err() != nil || (err != io.EOF && !r.bear(err)) {
			return
		}
	}
}

func (f *follower) hear(event *stintv1.Event) {
	told := f.sequences[event.JobId]
	if event.Sequence <= told {
		return
	}
	if event.Sequence != told+1 {
		f.rider.fail(fmt.Errorf("events of %s skip from %d to %d", event.JobId, told, event.Sequence))
	}
	f.sequences[event.JobId] = event.Sequence
	switch event.Type {
	case "claimed":
		f.claimed[event.JobId] = event.Fence
	case "succeeded":
		f.rider.mutex.Lock()
		isRepeated := f.ended[event.JobId]
		f.ended[event.JobId] = true
		f.rider.mutex.Unlock()
		if isRepeated || f.claimed[event.JobId] != event.Fence {
			f.rider.fail(fmt.Errorf("%s ended twice, or by another fence than that of its last claim", event.JobId))
		}
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

// heardOf waits until all of these have ended, by what is told.
func (f *follower) heardOf(ids map[string]bool) {
	for !f.hasAll(ids) {
		select {
		case <-f.changed:
		case <-f.rider.ctx.Done():
			return
		}
	}
}

func (f *follower) hasAll(ids map[string]bool) bool {
	f.rider.mutex.Lock()
	defer f.rider.mutex.Unlock()
	for id := range ids {
		if !f.ended[id] {
			return false
		}
	}
	return true
}
