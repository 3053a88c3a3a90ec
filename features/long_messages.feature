@content
Feature: Long and binary messages

  Text that does not fit into one short message leaves in parts that the handset puts
  together again. Nothing that belongs together is cut in two.

  Scenario Outline: <characters> characters leave in <parts> with an 8-bit reference
    Given a running gateway
    When a message is sent with:
      | content | {a*<characters>} |
    Then it is accepted
    And the SMSC gets the parts:
      | esm_class | part          | characters | octets | data_coding |
      | 0x40      | 1 of 2 by udh | 153        | 159    | 0           |
      | 0x40      | 2 of 2 by udh | <rest>     | <last> | 0           |
    And the parts are the content together
    And the SMSC gets nothing else

    Examples:
      | characters | parts   | rest | last |
      | 161        | 2 parts | 8    | 14   |
      | 306        | 2 parts | 153  | 159  |

  Scenario: 160 characters are one short message
    Given a running gateway
    When a message is sent with:
      | content | {a*160} |
    Then it is accepted
    And the SMSC gets a message with:
      | esm_class | 0x03 |
      | part      | none |
      | octets    | 160  |

  Scenario: A 16-bit reference
    Given the setting [http-api] long_content_ref_bits is "16"
    And a running gateway
    When a message is sent with:
      | content | {a*161} |
    Then it is accepted
    And the SMSC gets the parts:
      | esm_class | part            | characters |
      | 0x40      | 1 of 2 by udh16 | 152        |
      | 0x40      | 2 of 2 by udh16 | 9          |
    And the parts are the content together

  Scenario: Optional parameters in place of a header
    Given the setting [http-api] long_content_split is "sar"
    And a running gateway
    When a message is sent with:
      | content | {a*161} |
    Then it is accepted
    And the SMSC gets the parts:
      | esm_class | part          | characters | octets |
      | 0x03      | 1 of 2 by sar | 153        | 153    |
      | 0x03      | 2 of 2 by sar | 8          | 8      |
    And the parts are the content together

  Scenario: A character of the extension table, which takes two octets, is not cut
    Given a running gateway
    When a message is sent with:
      | content | {a*152}€{b*20} |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | text    | octets |
      | 1 of 2 by udh | {a*152} | 158    |
      | 2 of 2 by udh | €{b*20} | 28     |
    And the parts are the content together

  Scenario: Characters of the extension table alone
    Given a running gateway
    When a message is sent with:
      | content | {€*160} |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | characters | octets |
      | 1 of 3 by udh | 76         | 158    |
      | 2 of 3 by udh | 76         | 158    |
      | 3 of 3 by udh | 8          | 22     |
    And the parts are the content together

  Scenario: Characters that the alphabet lacks become question marks
    Given a running gateway
    When a message is sent with:
      | content | Ж [x] |
    Then it is accepted
    And the SMSC gets a message with:
      | text          | ? [x]          |
      | short_message | 3f201b3c781b3e |

  Scenario: 70 characters of UCS2 are one short message
    Given a running gateway
    When a message is sent with:
      | content (UTF-16BE) | {Ж*70} |
      | coding             | 8      |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding | 8      |
      | text        | {Ж*70} |
      | octets      | 140    |
      | esm_class   | 0x03   |

  Scenario: A surrogate pair is not cut
    Given a running gateway
    When a message is sent with:
      | content (UTF-16BE) | {Ж*66}😀{я*10} |
      | coding             | 8              |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | data_coding | text      | octets |
      | 1 of 2 by udh | 8           | {Ж*66}    | 138    |
      | 2 of 2 by udh | 8           | 😀{я*10}  | 30     |
    And the parts are the content together

  Scenario: Binary content
    Given a running gateway
    When a message is sent with:
      | hex-content | 00017f80ff1b0a |
      | coding      | 4              |
    Then it is accepted
    And the SMSC gets a message with:
      | data_coding   | 4              |
      | short_message | 00017f80ff1b0a |
      | esm_class     | 0x03           |

  Scenario: Long binary content
    Given a running gateway
    When a message is sent by POST with:
      | hex-content | {0a*141} |
      | coding      | 4        |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | octets | data_coding |
      | 1 of 2 by udh | 140    | 4           |
      | 2 of 2 by udh | 13     | 4           |

  Scenario: What exceeds the greatest number of parts is cut off
    Given the setting [http-api] long_content_max_parts is "2"
    And a running gateway
    When a message is sent with:
      | content | {a*306}{b*10} |
    Then it is accepted
    And the SMSC gets the parts:
      | part          | text    |
      | 1 of 2 by udh | {a*153} |
      | 2 of 2 by udh | {a*153} |
    And the parts read "{a*306}" together

  Scenario: What exceeds the greatest number of parts is refused, if one prefers that
    Given the setting [http-api] long_content_max_parts is "2"
    And the setting [http-api] long_content_overflow is "reject"
    And a running gateway
    When a message is sent with:
      | content | {a*307} |
    Then the answer is 400 Error "content needs 3 parts, long_content_max_parts is 2"
    And the SMSC gets nothing else

  Scenario: A part that the SMSC refuses for a moment is sent again, the others are not
    Given the SMSC answers ESME_RSYSERR to the next 1 message
    And the setting [sm-listener] submit_error_retrial is "{'ESME_RSYSERR': {'count': 2, 'delay': 0.1}}"
    And the connector has:
      | window | 1 |
    And a running gateway
    When a message is sent with:
      | content | {a*153}{b*153} |
    Then it is accepted
    And the SMSC gets 1 message
    And the SMSC gets the parts:
      | part          | text    | command_status |
      | 1 of 2 by udh | {a*153} | ESME_ROK       |
      | 2 of 2 by udh | {b*153} | ESME_ROK       |
    And the SMSC gets nothing else
