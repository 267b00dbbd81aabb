package prometheus

import (
	"github.com/weighlock/weighlock/analysis"
)

// Check says whether what a Rollout wants to know can be asked, and asks nobody: whether a server understands an expression is seen only there. An error
// is a *analysis.FieldError.
func Check(query analysis.Query, evaluations ...analysis.Evaluation) error {
	if _, err := feedsOf(&query); err != nil {
		return err
	}
	for i := range evaluations {
		if _, err := fill(&evaluations[i]); err != nil {
			return &analysis.FieldError{Field: evaluations[i].Field, Problem: err.Error()}
		}
	}
	return nil
}

// feedsOf is what is asked for.
func feedsOf(query *analysis.Query) ([]feed, error) {
	ask := envoyFeeds
	if query.Source != nil && query.Source.Counters != nil {
		ask = counterFeeds
	}
	feeds, err := ask(query)
	if err != nil {
		return nil, err
	}
	ratios, err := ratioFeeds(query)
	if err != nil {
		return nil, err
	}
	return merged(append(feeds, ratios...))
}
