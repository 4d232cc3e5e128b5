// Package ext has the types by which others extend Traefik's dynamic configuration: with nothing, as in Traefik's own
// repository, where it is a directory that is no part of Traefik's module.
package ext

// HTTP extends dynamic.HTTP.
type HTTP struct{}

// Router extends dynamic.Router.
type Router struct{}
