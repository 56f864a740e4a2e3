"""Every number the verifier is bounded by, with where it comes from."""

# Largest request body; an evaluation with a few dozen attributes needs 4 KiB.
MAX_BODY_BYTES = 32 * 1024
# Deepest nesting of JSON from outside; our own shapes need 4 (RFC 8259 section 9 lets a reader set it).
MAX_JSON_DEPTH = 8
# Largest integer that every JSON reader keeps exactly (RFC 7493 section 2.2).
MAX_INTEGER = 2**53 - 1
# Most evaluations in one request: each is a record of one commit, and a transaction of DynamoDB has 100 parts.
MAX_EVALUATIONS = 50
# Longest assertion that is looked at (security practice for JWTs; ours have about 900 bytes).
MAX_ASSERTION_BYTES = 8 * 1024
# Longest request URI that can be bound (RFC 9110 section 4.1 asks for at least 8000 octets).
MAX_URI_CHARS = 8000
# Longest subject, session, resource and client id.
MAX_ID_CHARS = 256
# Longest answer to a challenge that is compared at all; a code has 6 characters.
MAX_CODE_CHARS = 64

# How far two clocks may differ (RFC 7519 section 4.1.4: "no more than a few minutes"); used marks outlive it.
CLOCK_SKEW_SECONDS = 60
# How long a used assertion is remembered after its end. RFC 9449 section 11.1 asks for the skew; a day more, so that a
# clock that is set back by minutes or hours revives none.
USED_MARK_SECONDS = 24 * 60 * 60
# Life of an assertion: what we give one that pays once, and the most we give one that pays more often, and accept.
ASSERTION_TTL_SECONDS = 120
MAX_ASSERTION_TTL_SECONDS = 300
# Life of a challenge (ASVS 5.0 6.5.5): what we give, and the most a setting may say.
CHALLENGE_TTL_SECONDS = 300
MAX_CHALLENGE_TTL_SECONDS = 600
# Random bits of a challenge id; it is a capability (ASVS 5.0 11.5.1 asks for 128 bits).
CHALLENGE_ID_BYTES = 32
# Random bits of an assertion's jti and of a correlation id.
TOKEN_ID_BYTES = 16
# Wrong answers after which one challenge is dead (ASVS 5.0 6.6.3).
MAX_WRONG_ANSWERS = 5

# How far a DPoP proof's time may be off (RFC 9449 section 11.1: seconds or minutes), and the longest that is looked at.
DPOP_PROOF_SECONDS = 60
MAX_DPOP_PROOF_CHARS = 4096
# A nonce is given out for this long and counts for as long again (RFC 9449 section 8.2 leaves it to the server).
DPOP_NONCE_SECONDS = 120
DPOP_NONCE_BYTES = 16

# Failures in a row after which a factor is dead until it is bound anew (SP 800-63B-4 section 3.2.2 allows 100).
MAX_FAILURES = 10
# Wait after the n-th failure in a row; a typing mistake costs nothing, guessing costs minutes.
FAILURE_DELAYS_SECONDS = (0, 0, 1, 2, 5, 10, 30, 60, 120, 300)

# TOTP (RFC 6238): the form that every authenticator app has.
TOTP_DIGITS = 6
TOTP_STEP_SECONDS = 30
# One step to each side (RFC 6238 section 5.2).
TOTP_WINDOW_STEPS = 1
# RFC 4226 section 4 R6: at least 128 bits, 160 recommended.
TOTP_SEED_BYTES = 20
MIN_TOTP_SEED_BYTES = 16
# Credentials of one factor that one subject may hold; bounds the work of one answer.
MAX_CREDENTIALS_PER_FACTOR = 5

# Random bits of an enrolment ticket; it is a capability like a challenge id (ASVS 5.0 11.5.1 asks for 128 bits).
TICKET_BYTES = 32
# Life of an enrolment ticket: sent in the evening it works the next day; nobody plans further than a week ahead.
TICKET_TTL_SECONDS = 24 * 60 * 60
MIN_TICKET_TTL_SECONDS = 60
MAX_TICKET_TTL_SECONDS = 7 * 24 * 60 * 60

# A checkpoint is signed after this many records or this much time, whichever comes first.
CHECKPOINT_RECORDS = 100
CHECKPOINT_SECONDS = 60
# Wait after a checkpoint that could not be signed or written, so that a dead audit key does not slow every answer.
CHECKPOINT_RETRY_SECONDS = 10
# How long records may wait for a signature: time to open a sealed vault again. After that nothing is answered, since an
# intruder who keeps the audit key out of reach could rewrite all that waits.
MAX_UNSIGNED_SECONDS = 15 * 60

# Of the refusals of one kind that anybody can cause, so many are recorded whole in so much time; others are counted.
SAMPLED_WHOLE = 10
SAMPLING_SECONDS = 60
