//! The simulated upstream: the Realtime API on loopback, with faults on request.
