"""The shapes in which AWS Lambda hands over a request and takes the answer; pure functions, nothing is decided here.

Which shape a function reads is decided by the handler that its deployment names (see `keyrung_verifier.handler`), never
guessed from the event: whoever may invoke one entry cannot dress an event up as another's.

Whoever may call `lambda:InvokeFunction` on a function writes its whole event, the platform's own members included. A
deployment therefore grants that to the one gateway in front of it and to nobody else.
"""
