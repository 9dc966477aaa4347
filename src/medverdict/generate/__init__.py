"""KNOWLEDGE -> CLAIMS: knowledge base, templates, style, ICD-10, question-answer pairs."""
