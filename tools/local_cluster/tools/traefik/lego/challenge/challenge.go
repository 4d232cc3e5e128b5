// Package challenge has the interfaces of what answers challenges.
package challenge

import (
	"context"
	"time"
)

type Provider interface {
	Present(ctx context.Context, domain, token, keyAuth string) error
	CleanUp(ctx context.Context, domain, token, keyAuth string) error
}

type ProviderTimeout interface {
	Provider
	Timeout() (timeout, interval time.Duration)
}
