package tests

import (
	"bytes"
	"crypto/sha256"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/protobuf/proto"
)

// startWorker starts the example worker on the scene's queue.
func (s *scene) startWorker(address string, slots int, lease time.Duration) *process {
	s.t.Helper()
	options := []string{"-address", address, "-slots", strconv.Itoa(slots), "-lease", lease.String()}
	worker, err := startProcess(exec.Command(workerFile, append(options, s.queue, "worker-1")...))
	s.ok(err)
	s.t.Cleanup(func() {
		worker.command.Process.Kill()
		<-worker.exited
	})
	return worker
}

func (s *scene) enqueueFile(path string) (id string) {
	s.t.Helper()
	return s.enqueue(&stintv1.JobSpec{Payload: []byte(path), Retry: soon()}).Job.JobId
}

func (s *scene) enqueueOnce(path string) (id string) {
	s.t.Helper()
	retry := &stintv1.RetryPolicy{MaxAttempts: proto.Int32(1)}
	return s.enqueue(&stintv1.JobSpec{Payload: []byte(path), Retry: retry}).Job.JobId
}

func (s *scene) waitUntilRunning(id string) {
	s.t.Helper()
	s.waitUntil("it runs", func() bool { return s.job(id).State == stintv1.JobState_JOB_STATE_RUNNING })
}

func (s *scene) succeeded(id string, content []byte) {
	s.t.Helper()
	ended := s.awaitTerminal(id)
	equal(s.t, "state", ended.State, stintv1.JobState_JOB_STATE_SUCCEEDED)
	equal(s.t, "attempts", ended.Attempt, 1)
	sum := sha256.Sum256(content)
	equal(s.t, "sum is right", bytes.Equal(ended.Result, sum[:]), true)
}

func (s *scene) failedWith(id, code string) {
	s.t.Helper()
	ended := s.awaitTerminal(id)
	equal(s.t, "state", ended.State, stintv1.JobState_JOB_STATE_FAILED)
	equal(s.t, "failure", ended.Failure.Code, code)
}

func TestWorkerDoesTheJobsOfItsQueueAndLeavesWhenTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	contents := map[string][]byte{}
	for number := range 10 {
		content := make([]byte, number*50_000)
		contents[s.enqueueFile(writeFile(t, content))] = content
	}
	worker := s.startWorker(address, 3, 6*time.Second)
	for id, content := range contents {
		s.succeeded(id, content)
	}
	worker.terminate()
	s.ok(worker.wait())
}

func TestWorkerFailsAJobWhoseFileCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	id := s.enqueueOnce(t.TempDir() + "/absent")
	s.startWorker(address, 1, 30*time.Second)
	s.failedWith(id, "file.unreadable")
}

func TestWorkerKeepsItsLeaseForAsLongAsTheWorkTakes(t *testing.T) {
	t.Parallel()
	s, f, file := newScene(t), newFront(t), newSlowFile(t)
	id := s.enqueueFile(file.path)
	s.startWorker(f.address, 1, 4*time.Second)
	// One each third of the lease.
	s.waitUntil("the first lease would be over", func() bool { return len(f.requests("Heartbeat")) >= 5 })
	file.end()
	s.succeeded(id, nil)
	equal(t, "events", strings.Join(s.eventTypes(id), " "), strings.Join(eventTypes, " "))
}

func TestWorkerStopsWhenItsOwnClockSaysThatTheLeaseIsOver(t *testing.T) {
	t.Parallel()
	s, f, file := newScene(t), newFront(t), newSlowFile(t)
	f.answer("Heartbeat", refuse)
	id := s.enqueueFile(file.path)
	s.startWorker(f.address, 1, 2*time.Second).waitForLine(t, "is over")
	f.answer("Heartbeat", nil)
	// Within the grace the service would still take an ack; the worker must not count on it.
	file.end()
	s.waitUntil("the job is claimed again", func() bool { return s.job(id).Attempt == 2 })
	equal(t, "acks and failures", len(f.requests("Ack"))+len(f.requests("Fail")), 0)
}

func TestWorkerCountsALeaseFromTheSendingOfItsClaim(t *testing.T) {
	t.Parallel()
	s, f := newScene(t), newFront(t)
	lease := 2 * time.Second
	f.answerOnce("Claim", func(forward func() (proto.Message, error)) (proto.Message, error) {
		answer, err := forward()
		time.Sleep(lease)
		return answer, err
	})
	s.enqueueFile(writeFile(t, nil))
	s.startWorker(f.address, 1, lease).waitForLine(t, "is over")
	equal(t, "acks", len(f.requests("Ack")), 0)
}

func TestWorkerStopsAndFailsAJobThatIsToBeCancelled(t *testing.T) {
	t.Parallel()
	s, f, file := newScene(t), newFront(t), newSlowFile(t)
	f.answer("Heartbeat", func(forward func() (proto.Message, error)) (proto.Message, error) {
		message, err := forward()
		if answer, ok := message.(*stintv1.HeartbeatResponse); ok && err == nil {
			answer.Results[0].GetRenewed().Directive = stintv1.Directive_DIRECTIVE_CANCEL
		}
		return message, err
	})
	id := s.enqueueOnce(file.path)
	s.startWorker(f.address, 1, 3*time.Second).waitForLine(t, "asked to stop")
	file.write(t, "more")
	s.failedWith(id, "worker.stopped")
}

func TestALostAnswerDoesNoHarmToTheWorker(t *testing.T) {
	for _, rpc := range []string{"Claim", "Ack"} {
		t.Run(rpc, func(t *testing.T) {
			t.Parallel()
			s, f := newScene(t), newFront(t)
			f.answerOnce(rpc, loseAnswer)
			content := []byte("content")
			id := s.enqueueFile(writeFile(t, content))
			s.startWorker(f.address, 1, 30*time.Second)
			s.succeeded(id, content)
			s.waitUntil("it is sent again", func() bool { return len(f.requests(rpc)) >= 2 })
			same(t, "second try", f.requests(rpc)[1], f.requests(rpc)[0])
		})
	}
}

func TestWorkerOutlastsARestartOfTheService(t *testing.T) {
	t.Parallel()
	own := ownService(t)
	connection, err := connect(own.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	s, file := newSceneOn(t, connection), newSlowFile(t)
	// The other slot claims in vain meanwhile.
	s.startWorker(own.address, 2, 30*time.Second)
	held := s.enqueueFile(file.path)
	s.waitUntilRunning(held)
	s.ok(own.stop())
	// What is done meanwhile is told once there is somebody to hear it.
	file.end()
	s.ok(own.start())
	connection.ResetConnectBackoff()
	s.waitUntil("the service answers", func() bool {
		_, err := s.jobs.GetServerInfo(s.ctx, &stintv1.GetServerInfoRequest{})
		return err == nil
	})
	s.succeeded(held, nil)
	s.succeeded(s.enqueueFile(writeFile(t, nil)), nil)
	s.ok(own.stop())
}

func TestWorkerFinishesWhatItHoldsAndClaimsNoMoreOnceToldToLeave(t *testing.T) {
	t.Parallel()
	s, file := newScene(t), newSlowFile(t)
	held := s.enqueueFile(file.path)
	worker := s.startWorker(address, 1, 30*time.Second)
	s.waitUntilRunning(held)
	waiting := s.enqueueFile(file.path)
	worker.terminate()
	worker.waitForLine(t, "leaving")
	file.write(t, "the end")
	file.end()
	s.ok(worker.wait())
	s.succeeded(held, []byte("the end"))
	equal(t, "events of the other", strings.Join(s.eventTypes(waiting), " "), "enqueued")
}

func TestWorkerGivesBackWhatComesAfterItWasToldToLeave(t *testing.T) {
	t.Parallel()
	s, f := newScene(t), newFront(t)
	mayAnswer := make(chan struct{})
	f.answer("Claim", func(forward func() (proto.Message, error)) (proto.Message, error) {
		answer, err := forward()
		select {
		case <-mayAnswer:
		case <-s.ctx.Done():
		}
		return answer, err
	})
	id := s.enqueueFile(writeFile(t, nil))
	worker := s.startWorker(f.address, 1, 30*time.Second)
	s.waitUntilRunning(id)
	worker.terminate()
	worker.waitForLine(t, "leaving")
	close(mayAnswer)
	s.ok(worker.wait())
	givenBack := s.job(id)
	equal(t, "state", givenBack.State, stintv1.JobState_JOB_STATE_READY)
	equal(t, "attempts", givenBack.Attempt, 0)
}
