package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log"
	"time"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

type worker struct {
	service stintv1.WorkerServiceClient
	queue   string
	id      string
	lease   time.Duration
}

// work is one slot: one job after another, until leaving is done. It returns what waiting would not mend.
func (w *worker) work(leaving context.Context) error {
	for leaving.Err() == nil {
		// The first try: what is granted later holds longer than is counted on here.
		sentAt := time.Now()
		answer, err := w.claim(leaving, sentAt)
		if err != nil {
			if !isPassing(err) {
				return err
			}
			log.Printf("cannot claim: %s: %v", refusal.Reason(err), err)
			continue
		}
		for _, claimed := range answer.Jobs {
			if leaving.Err() != nil {
				w.release(claimed)
			} else {
				w.do(claimed, sentAt)
			}
		}
	}
	return nil
}

func (w *worker) claim(leaving context.Context, sentAt time.Time) (*stintv1.ClaimResponse, error) {
	// The lease's time runs from the sending of the claim and not from its answer, so waiting must not eat it up.
	wait := w.lease / 3
	request := &stintv1.ClaimRequest{
		WorkerId:      w.id,
		Queues:        []string{w.queue},
		MaxJobs:       1,
		LeaseDuration: durationpb.New(w.lease),
		Wait:          durationpb.New(wait),
		// Makes a lost answer harmless: the next try is given the same lease.
		RequestId: rand.Text(),
	}
	goesOn, cancel := context.WithDeadline(leaving, sentAt.Add(w.lease/2))
	defer cancel()
	return untilAnswered(goesOn, wait+callLimit, func(ctx context.Context) (*stintv1.ClaimResponse, error) {
		return w.service.Claim(ctx, request)
	})
}

func (w *worker) do(claimed *stintv1.ClaimedJob, sentAt time.Time) {
	lease := hold(claimed, sentAt)
	defer lease.letGo()
	go lease.keep(w.service, w.id)
	sum, err := hashFile(lease.work, string(claimed.Payload))
	if !lease.isLive() {
		// It is another worker's: whatever is told of it here would be refused.
		return
	}
	if err := w.settle(lease, sum, err); err != nil {
		log.Printf("cannot settle %s: %s: %v", claimed.Job.JobId, refusal.Reason(err), err)
	}
}

// settle is safe to repeat: settling again with the same token is answered the same.
func (w *worker) settle(lease *heldLease, sum []byte, problem error) error {
	if problem == nil {
		request := &stintv1.AckRequest{LeaseToken: lease.token, Result: sum, ContentType: "application/octet-stream"}
		_, err := untilAnswered(lease.live, callLimit, func(ctx context.Context) (*stintv1.AckResponse, error) {
			return w.service.Ack(ctx, request)
		})
		return err
	}
	failure := &stintv1.Failure{Code: "file.unreadable", Message: problem.Error()}
	if errors.Is(problem, errStopped) {
		failure.Code = "worker.stopped"
	}
	request := &stintv1.FailRequest{LeaseToken: lease.token, Failure: failure}
	_, err := untilAnswered(lease.live, callLimit, func(ctx context.Context) (*stintv1.FailResponse, error) {
		return w.service.Fail(ctx, request)
	})
	return err
}

// release gives back a job that came too late: it keeps its place, and no attempt is spent.
func (w *worker) release(claimed *stintv1.ClaimedJob) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if _, err := w.service.Release(ctx, &stintv1.ReleaseRequest{LeaseToken: claimed.Lease.LeaseToken}); err != nil {
		log.Printf("cannot release %s: %s: %v", claimed.Job.JobId, refusal.Reason(err), err)
	}
}
