package volume

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A token is renewed when this share of its life has passed.
const renewAfter = 0.8

// tokenKey tells the tokens that a pod asks for apart.
type tokenKey struct {
	audience string
	seconds  int64
}

type token struct {
	text  string
	renew time.Time
}

// token returns a token that is not due to be renewed.
func (s *Set) token(ctx context.Context, pod *corev1.Pod, projection corev1.ServiceAccountTokenProjection) (string, error) {
	key := tokenKey{audience: projection.Audience, seconds: 3600}
	if projection.ExpirationSeconds != nil {
		key.seconds = *projection.ExpirationSeconds
	}
	now := time.Now()
	if have, ok := s.tokens[key]; ok && now.Before(have.renew) {
		return have.text, nil
	}
	got, err := s.objects.Token(ctx, pod, key.audience, key.seconds)
	if err != nil {
		return "", fmt.Errorf("request a token for ServiceAccount %s: %w", pod.Spec.ServiceAccountName, err)
	}
	life := got.ExpirationTimestamp.Sub(now)
	// The server may give a longer life than was asked for, so that clients
	// that never read their file again keep working; they are not ours.
	life = min(life, time.Duration(key.seconds)*time.Second)
	s.tokens[key] = token{text: got.Token, renew: now.Add(time.Duration(float64(life) * renewAfter))}
	return got.Token, nil
}

// renewal is when the first of the tokens is due.
func (s *Set) renewal() time.Time {
	var first time.Time
	for _, t := range s.tokens {
		if first.IsZero() || t.renew.Before(first) {
			first = t.renew
		}
	}
	return first
}
