"""The contract as others meet it: a slave in JavaScript, and a person with grpcurl."""
