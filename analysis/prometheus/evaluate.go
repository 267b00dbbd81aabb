package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
)

// mostMoments is how many moments one query asks for: servers answer 11,000 at most.
const mostMoments = 10_000

// Evaluate returns the values of an expression. A moment at which it has none, or one that is not a number, has no sample.
func (p *Provider) Evaluate(ctx context.Context, evaluation analysis.Evaluation) ([]analysis.Sample, error) {
	if evaluation.Interval < time.Millisecond || evaluation.From.IsZero() {
		return nil, errors.New("evaluating an expression: it needs a beginning and an interval")
	}
	server, err := p.server(evaluation.Source)
	if err != nil {
		return nil, err
	}
	expression, err := fill(&evaluation)
	if err != nil {
		return nil, &analysis.FieldError{Field: evaluation.Field, Problem: err.Error()}
	}
	var samples []analysis.Sample
	// Servers round to milliseconds.
	for from := evaluation.From.Truncate(time.Millisecond); !from.After(evaluation.To); from = from.Add(mostMoments * evaluation.Interval) {
		moments := promv1.Range{Start: from, End: from.Add((mostMoments - 1) * evaluation.Interval), Step: evaluation.Interval}
		if moments.End.After(evaluation.To) {
			moments.End = evaluation.To
		}
		matrix, err := server.values(ctx, expression, moments)
		if refused, ok := errors.AsType[*refusal](err); ok && refused.wrong {
			return nil, &analysis.FieldError{Field: evaluation.Field, Problem: "is refused by Prometheus: " + refused.reason}
		}
		if err != nil {
			return nil, err
		}
		if samples, err = appendSamples(samples, matrix); err != nil {
			return nil, &analysis.FieldError{Field: evaluation.Field, Problem: err.Error()}
		}
	}
	return samples, nil
}

// fill puts the tracks in the place of the placeholders.
func fill(evaluation *analysis.Evaluation) (string, error) {
	values := map[string]string{"namespace": evaluation.Incumbent.Namespace, "port": strconv.Itoa(int(evaluation.Incumbent.Port))}
	for name, track := range map[string]analysis.Track{"incumbent": evaluation.Incumbent, "candidate": evaluation.Candidate} {
		if track.Service == "" {
			continue // an expression that asks for it is refused
		}
		names, err := placeholders(track)
		if err != nil {
			return "", fmt.Errorf("can't be filled in for the %s: %w", name, err)
		}
		values[name+".service"], values[name+".workload"] = names["service"], names["workload"]
	}
	return promql.Fill(evaluation.Expression, values)
}

func appendSamples(samples []analysis.Sample, matrix model.Matrix) ([]analysis.Sample, error) {
	if len(matrix) > 1 {
		return nil, fmt.Errorf("yields %d series: it must yield one, as with sum(...)", len(matrix))
	}
	for _, series := range matrix {
		if len(series.Histograms) > 0 {
			return nil, errors.New("yields a histogram: it must yield a number, as with histogram_quantile(...)")
		}
		for _, sample := range series.Values {
			if value := float64(sample.Value); !math.IsNaN(value) {
				samples = append(samples, analysis.Sample{At: sample.Timestamp.Time(), Value: value})
			}
		}
	}
	return samples, nil
}
