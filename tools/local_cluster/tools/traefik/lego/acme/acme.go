// Package acme has the types of accounts.
package acme

type Account struct{}

type ExtendedAccount struct {
	Account
	Location string
}
