package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// past is how much of the incumbent's time before a rollout is looked at.
const past = time.Hour

// weighing is how far the weighing of a rollout is. All of it can be had again from the metrics, by going through the
// stages anew.
type weighing struct {
	provider analysis.Provider
	criteria *analysis.Criteria
	// calibration is under way until there is an engine.
	calibration *calibration
	engine      *analysis.Engine
	// stage is the index of the one that is gone through, stream what it did.
	stage  int
	stream analysis.Stream
	// evaluated is the last moment that each threshold was evaluated for.
	evaluated []time.Time
	// early is what was counted in the stage when analysis.ShareGrace was over; nil before.
	early *analysis.Measurement
}

type calibration struct {
	stream     analysis.Stream
	calibrator *analysis.Calibrator
}

// advance takes what is new until now. After an error it goes on where it was.
func (w *weighing) advance(ctx context.Context, question Question, now time.Time) error {
	if w.engine == nil {
		if err := w.prepare(ctx, question); err != nil {
			return err
		}
	}
	for {
		stage := question.Stages[w.stage]
		until := now
		if over := stage.Until; !over.IsZero() && over.Before(now) {
			until = over
		}
		if err := w.pass(ctx, question, stage, until); err != nil {
			return err
		}
		if w.stage == len(question.Stages)-1 {
			return nil
		}
		w.stream = nil
		w.stage++
	}
}

// prepare looks at the incumbent's past, and makes the engine.
func (w *weighing) prepare(ctx context.Context, question Question) error {
	first := question.Stages[0]
	if w.calibration == nil {
		criteria, err := analysis.ParseCriteria(question.Criteria)
		if err != nil {
			return err
		}
		query := queryOf(question, criteria, first)
		query.Incumbent, query.Candidate, query.Mirrored, query.Since = question.Incumbent, analysis.Track{}, false, first.Since.Add(-past)
		stream, err := w.provider.Open(query)
		if err != nil {
			return err
		}
		w.criteria, w.calibration = criteria, &calibration{stream, analysis.NewCalibrator(criteria)}
	}
	if err := read(ctx, w.calibration.stream, first.Since, w.calibration.calibrator.Add); err != nil {
		return fmt.Errorf("reading the incumbent's past: %w", err)
	}
	w.engine = analysis.NewEngine(w.criteria, w.calibration.calibrator.Past())
	w.calibration = nil
	return nil
}

// pass weighs what a stage did until a moment.
func (w *weighing) pass(ctx context.Context, question Question, stage Stage, until time.Time) error {
	if w.stream == nil {
		stream, err := w.provider.Open(queryOf(question, w.criteria, stage))
		if err != nil {
			return err
		}
		w.stream, w.early, w.evaluated = stream, nil, make([]time.Time, len(w.criteria.Thresholds))
		w.engine.Enter(stage.Stage)
	}
	err := read(ctx, w.stream, until, func(block *analysis.Block) {
		w.engine.Add(block, question.warm(block, w.criteria.WarmUp))
		if w.early == nil && !block.At.Before(stage.Since.Add(analysis.ShareGrace)) {
			early := w.engine.Stage()
			w.early = &early
		}
	})
	if err != nil {
		return err
	}
	return w.evaluate(ctx, question, stage, until)
}

// read takes all blocks until a moment: a long time comes in portions.
func read(ctx context.Context, stream analysis.Stream, until time.Time, take func(*analysis.Block)) error {
	for {
		blocks, err := stream.Next(ctx, until)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(blocks) == 0 {
			return err
		}
		for i := range blocks {
			take(&blocks[i])
		}
	}
}

// evaluate looks at the metrics that are held against thresholds, at the moments that follow from the begin of the stage alone.
func (w *weighing) evaluate(ctx context.Context, question Question, stage Stage, until time.Time) error {
	for i, threshold := range w.criteria.Thresholds {
		from := stage.Since.Add(question.Interval)
		if last := w.evaluated[i]; !last.IsZero() {
			from = last.Add(question.Interval)
		}
		if from.After(until) {
			continue
		}
		to := until.Add(-(until.Sub(from) % question.Interval))
		samples, err := w.provider.Evaluate(ctx, analysis.Evaluation{
			Source: question.Criteria.Source, Field: threshold.Field, Expression: threshold.Expression,
			Incumbent: stage.Incumbent, Candidate: stage.Candidate, From: from, To: to, Interval: question.Interval,
		})
		if err != nil {
			return err
		}
		for _, sample := range samples {
			w.engine.Observe(i, sample)
		}
		w.evaluated[i] = to
	}
	return nil
}

// answer tells what is known.
func (w *weighing) answer(question Question, at time.Time) Answer {
	answer := Answer{
		Stage: question.present().ID, Verdict: w.engine.Verdict(), Measurement: w.engine.Stage(), At: at,
	}
	answer.Measurement.Since = question.present().Since
	answer.Newest = answer.Measurement
	if w.early != nil {
		late := answer.Newest.After(*w.early)
		answer.Late = &late
	}
	if answer.Verdict.Outcome != v1alpha1.OutcomeFail { // bad replies stay bad, however old
		answer.Err = stale(question, answer.Measurement, at)
	}
	return answer
}

func queryOf(question Question, criteria *analysis.Criteria, stage Stage) analysis.Query {
	return analysis.Query{
		Source: question.Criteria.Source, Incumbent: stage.Incumbent, Candidate: stage.Candidate, Since: stage.Since,
		Latency: criteria.Latency, Mirrored: stage.Mirrored, Ratios: criteria.Ratios,
	}
}

// stale returns an error when the newest sample is too old to go by.
func stale(question Question, measurement analysis.Measurement, now time.Time) error {
	const oldest = 3 * time.Minute
	if measurement.Latest.IsZero() {
		return nil
	}
	age := now.Sub(measurement.Latest)
	if age <= max(oldest, 3*question.Interval) {
		return nil
	}
	return fmt.Errorf("the newest sample is %s old: is the mesh still scraped?", age.Round(time.Second))
}

// IsFieldError says whether only an edit of the Rollout helps.
func (a Answer) IsFieldError() bool {
	_, is := errors.AsType[*analysis.FieldError](a.Err)
	return is
}
