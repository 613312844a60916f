package main

import (
	"context"
	"errors"
	"log"
	"sync"
	"sync/atomic"
	"time"

	stintv1 "example.com/stint/stint/v1"
)

const heartbeatRetryPause = 200 * time.Millisecond

var errStopped = errors.New("stopped as asked")

// A heldLease holds until ttl after the request that gave or renewed it was sent, by this process's own monotonic clock. The
// database's clock decides, but nobody here can read it; what was sent before it was granted is the safe side.
type heldLease struct {
	jobID string
	token string
	// Done once the lease is over.
	live    context.Context
	endLive context.CancelFunc
	end     sync.Once
	// Done once the work shall stop: the lease is over, or the job is to be cancelled.
	work     context.Context
	stopWork context.CancelCauseFunc

	interval time.Duration
	sentAt   time.Time
	endsAt   atomic.Pointer[time.Time]
	alarm    *time.Timer
}

// hold begins with the time when the claim was sent, the first time if it was sent again.
func hold(claimed *stintv1.ClaimedJob, sentAt time.Time) *heldLease {
	lease := &heldLease{
		jobID:    claimed.Job.JobId,
		token:    claimed.Lease.LeaseToken,
		interval: claimed.Lease.HeartbeatInterval.AsDuration(),
		sentAt:   sentAt,
	}
	lease.live, lease.endLive = context.WithCancel(context.Background())
	lease.work, lease.stopWork = context.WithCancelCause(lease.live)
	endsAt := sentAt.Add(claimed.Lease.Ttl.AsDuration())
	lease.endsAt.Store(&endsAt)
	lease.alarm = time.AfterFunc(time.Until(endsAt), lease.lose)
	return lease
}

// isLive is asked anew before each effect: a process that was stopped and continued hears its alarm too late.
func (lease *heldLease) isLive() bool {
	if !time.Now().Before(*lease.endsAt.Load()) {
		lease.lose()
	}
	return lease.live.Err() == nil
}

func (lease *heldLease) lose() {
	lease.end.Do(func() {
		log.Printf("the lease of %s is over", lease.jobID)
		lease.endLive()
	})
}

// letGo ends the watch over a lease that was settled, or is over.
func (lease *heldLease) letGo() {
	lease.alarm.Stop()
	lease.end.Do(lease.endLive)
}

func (lease *heldLease) holdUntil(endsAt time.Time) {
	lease.endsAt.Store(&endsAt)
	lease.alarm.Reset(time.Until(endsAt))
}

// keep renews the lease until it is over or let go.
func (lease *heldLease) keep(service stintv1.WorkerServiceClient, workerID string) {
	request := &stintv1.HeartbeatRequest{
		WorkerId: workerID,
		Leases:   []*stintv1.LeaseRenewal{{LeaseToken: lease.token}},
	}
	// From the sending of the last one: after a claim that waited long, the first heartbeat goes out at once.
	pause := time.Until(lease.sentAt.Add(lease.interval))
	for {
		select {
		case <-lease.live.Done():
			return
		case <-time.After(pause):
		}
		sentAt := time.Now()
		ctx, cancel := context.WithTimeout(lease.live, lease.interval)
		answer, err := service.Heartbeat(ctx, request)
		cancel()
		if err != nil {
			// If none gets through, the lease ends by its own clock.
			pause = heartbeatRetryPause
			continue
		}
		lease.hear(answer.Results[0], sentAt)
		pause = time.Until(sentAt.Add(lease.interval))
	}
}

func (lease *heldLease) hear(result *stintv1.HeartbeatResult, sentAt time.Time) {
	if !lease.isLive() {
		return
	}
	renewed := result.GetRenewed()
	if renewed == nil {
		lease.lose()
		return
	}
	lease.holdUntil(sentAt.Add(renewed.Ttl.AsDuration()))
	if renewed.Directive == stintv1.Directive_DIRECTIVE_CANCEL && lease.work.Err() == nil {
		// Still ours: whoever stops for a cancellation says so with a failure.
		lease.stopWork(errStopped)
		log.Print("asked to stop")
	}
}
