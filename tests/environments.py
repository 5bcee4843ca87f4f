"""The functions' environments, as the template sets them."""

STYLE = {
    "ALERT_LANGUAGE": "en",
    "ALERT_TIMEZONE": "America/Sao_Paulo",
    "INVOICE_GRACE_SECONDS": "600",
    "CHAT_ALERTS": "yes",
    "POWERTOOLS_SERVICE_NAME": "a-shop",
}
_VTEX = {
    "VTEX_BASE_URL": "https://{account}.vtexcommercestable.com.br",
    "VTEX_CREDENTIALS_SECRET_ARN": "arn:credentials",
    "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
    "VTEX_REQUESTS_PER_MINUTE": "1200",
    "VTEX_ACCOUNTS": "",
    "WATCHED_STATUSES": "invoiced",
    "HOOK_URL": "https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders",
    "LEDGER_TABLE_NAME": "ledger",
}
DRAIN = {**_VTEX, "HOOK_QUEUE_URL": "https://sqs.example/hook", "RETRY_BASE_SECONDS": "60"}
GUARD = {
    **_VTEX,
    "HOOK_SECRET_ARN": "arn:hook",
    "ALERT_TOPIC_ARN": "arn:alerts",
    "OPERATIONS_TOPIC_ARN": "arn:operations",
    "QUIET_ALARM_HOURS": "48",
    "ALERT_LANGUAGE": "en",
    "POWERTOOLS_SERVICE_NAME": "invoicekey",
}
CHECKER = {
    **STYLE,
    "HOOK_QUEUE_URL": "https://sqs.example/hook",
    "HOOK_DEAD_LETTER_QUEUE_URL": "https://sqs.example/dead",
    "RECORD_TOPIC_ARN": "arn:records",
    "ALERT_TOPIC_ARN": "arn:alerts",
    "LEDGER_TABLE_NAME": "ledger",
    "VTEX_CREDENTIALS_SECRET_ARN": "arn:credentials",
    "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
    "VTEX_BASE_URL": "https://{account}.vtexcommercestable.com.br",
    "VTEX_REQUESTS_PER_MINUTE": "1200",
    "RETRY_BASE_SECONDS": "60",
    "FUNCTION_TIMEOUT_SECONDS": "30",
    "CNOVA_AFFILIATE_IDS": "VVJ, luxstore:ABC, ,",
    "SELLER_TAX_IDS": "11.222.333/0001-81, 12abc34501de35",
    "KEY_GRACE_SECONDS": "0",
    "TRACKING_GRACE_HOURS": "0",
    "ALERT_BURST": "5",
    "ALERT_WINDOW_MINUTES": "15",
    "MAXIMUM_CONCURRENCY": "2",
    "SKIP_OTHER_PREFIXES": "yes",
    "WATCHED_STATUSES": "invoiced",
}
