"""The policy pack: `pulumi preview --policy-pack policies/guardrails` refuses a stack that is unfit for production."""

from keyrung_guardrails.pack import serve

serve()
